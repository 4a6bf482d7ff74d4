"""Checkpoint files that are there whole or not at all, and the newest of them that serves."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from .files import read_torch

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


def candidates(folder: Path, template: str) -> Iterator[tuple[Path, str]]:
    """The checkpoints to resume from, newest first: from the marked one on, what came before it.

    Each with why it will not do, or "". One that was written after the mark is newer: the run was
    killed between the two. Others with a higher number are left from an earlier run. A mark that
    names no checkpoint counts for nothing.

    template: the name of a checkpoint, with {} for its number.
    """
    number = re.compile(re.escape(template).replace(r"\{\}", r"(\d+)"))
    marker = folder / MARKER
    marked = marked_by(marker)
    if marked is not None:
        folder = marked.parent if marked.is_file() else folder
        marked = folder / marked.name
    found = [path for path in folder.glob("*") if number.fullmatch(path.name)]
    found.sort(key=lambda path: int(number.fullmatch(path.name)[1]), reverse=True)
    if marked is None or not (number.fullmatch(marked.name) or marked.is_file()):
        yield from ((path, "") for path in found)
        return
    mark = number.fullmatch(marked.name)
    limit = int(mark[1]) if mark else -1
    written = marker.stat().st_mtime_ns
    for path in found:
        if int(number.fullmatch(path.name)[1]) > limit:
            is_newer = path.stat().st_mtime_ns > written
            yield path, "" if is_newer else f"is older than {MARKER}, which names {marked.name}"
    yield marked, ""
    for path in found:
        if int(number.fullmatch(path.name)[1]) < limit:
            yield path, ""


def marked_by(marker: Path) -> Path | None:
    if not marker.is_file():
        return None
    # A power cut can leave anything in it.
    text = marker.read_bytes().decode(errors="replace").strip("\0 \n")
    return Path(text) if text and "\0" not in text else None


def newest_whole(
    folder: Path, template: str, check: Callable[[Path, Mapping], None] | None = None
) -> tuple[Path | None, dict[Path, str]]:
    """The checkpoint to resume from, and those passed over, each with why.

    check: raises ValueError for the content of a file that is whole and will not do.
    """
    passed_over = {}
    for path, fault in candidates(folder, template):
        if fault:
            passed_over[path] = fault
            continue
        try:
            content = read_torch(path)
            if check is not None:
                check(path, content)
            return path, passed_over
        except ValueError as error:
            passed_over[path] = str(error)
    return None, passed_over
