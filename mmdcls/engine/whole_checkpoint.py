"""Checkpoint files that are there whole or not at all, and the newest of them that serves."""

import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch

PART = ".part"
MARKER = "last_checkpoint"


def part_of(path: Path) -> Path:
    """Where a file is written until it is whole; the dot and the suffix hide it from searches."""
    return path.with_name(f".{path.name}{PART}")


def put_in_place(path: Path) -> None:
    """Give the file its name, once all of it is on the disk."""
    part = part_of(path)
    sync(part, os.O_RDWR)
    os.replace(part, path)
    sync(path.parent, os.O_RDONLY)


def sync(path: Path, mode: int) -> None:
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, text: str) -> None:
    part_of(path).write_text(text)
    put_in_place(path)


def remove_parts(folder: Path) -> None:
    """Remove what a run that was killed while writing has left."""
    for part in folder.glob(f".*{PART}"):
        part.unlink(missing_ok=True)


def read_checkpoint(path: str | Path) -> Mapping:
    """What is in a checkpoint; tensors of a zip file are read when they are used.

    Raises ValueError with what is wrong with the file, as in "is empty".
    """
    if not os.path.isfile(path):
        raise ValueError("is not there")
    with open(path, "rb") as file:
        start = file.read(4)
    zipped = zipfile.is_zipfile(path)
    if not start:
        raise ValueError("is empty")
    if not zipped and start == b"PK\x03\x04":
        raise ValueError("is only a part of a checkpoint")
    if not zipped and start[:1] != b"\x80":  # how torch < 1.6 wrote
        raise ValueError("is no checkpoint of torch")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    # A damaged file, or one with code in it, makes torch raise almost anything.
    except Exception as error:
        raise ValueError(reason_of(error)) from error
    weights = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(weights, Mapping):
        raise ValueError("holds no weights")
    return content


def reason_of(error: Exception) -> str:
    text = " ".join(str(error).split())
    if unsafe := re.search(r"GLOBAL ([\w.]+)", text):
        return f"holds more than weights ({unsafe[1]}), which is not loaded"
    return f"is no checkpoint of torch, or a damaged one ({text[:80] or type(error).__name__})"


def candidates(folder: Path, template: str) -> Iterator[Path]:
    """The checkpoints to resume from, newest first: from the marked one on, what came before it.

    One that was written after the mark is newer: the run was killed between the two. Others with a
    higher number are left from an earlier run.

    template: the name of a checkpoint, with {} for its number.
    """
    number = re.compile(re.escape(template).replace(r"\{\}", r"(\d+)"))
    marker = folder / MARKER
    marked = Path(marker.read_text().strip() or MARKER) if marker.is_file() else None
    if marked is not None:
        folder = marked.parent if marked.is_file() else folder
        marked = folder / marked.name
    found = [path for path in folder.glob("*") if number.fullmatch(path.name)]
    found.sort(key=lambda path: int(number.fullmatch(path.name)[1]), reverse=True)
    if marked is None or marked.name == MARKER:
        yield from found
        return
    mark = number.fullmatch(marked.name)
    limit = int(mark[1]) if mark else -1
    written = marker.stat().st_mtime_ns
    for path in found:
        if int(number.fullmatch(path.name)[1]) > limit and path.stat().st_mtime_ns > written:
            yield path
    yield marked
    for path in found:
        if int(number.fullmatch(path.name)[1]) < limit:
            yield path


def newest_whole(
    folder: Path, template: str, check: Callable[[Path, Mapping], None] | None = None
) -> tuple[Path | None, dict[Path, str]]:
    """The checkpoint to resume from, and those passed over, each with why.

    check: raises ValueError for the content of a file that is whole and will not do.
    """
    passed_over = {}
    for path in candidates(folder, template):
        try:
            content = read_checkpoint(path)
            if check is not None:
                check(path, content)
            return path, passed_over
        except ValueError as error:
            passed_over[path] = str(error)
    return None, passed_over
