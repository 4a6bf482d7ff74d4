"""Checkpoint files that are there whole or not at all, and the newest of them that serves."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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


def candidates(folders: Sequence[Path], template: str) -> Iterator[tuple[Path, str]]:
    """The checkpoints to resume from, newest first: from the marked one on, what came before it.

    Each with why it will not do, or "". One that was written after the mark is newer: the run was
    killed between the two. Others with a higher number are left from an earlier run. Where the mark
    names another folder, this one was copied or moved, and times tell nothing. A mark that names no
    checkpoint counts for nothing.

    folders: those of the run; the first has the mark.
    template: the name of a checkpoint, with {} for its number.
    """
    number = re.compile(re.escape(template).replace(r"\{\}", r"(\d+)"))
    marker = folders[0] / MARKER
    marked = marked_by(marker)
    folder = folder_of(marked, folders, number)
    found = checkpoints_in(folder, number)
    is_at_home = marked is not None and folder in folders and is_same(folder, marked.parent)
    marked = marked and folder / marked.name
    if marked is None or not (number.fullmatch(marked.name) or marked.is_file()):
        yield from ((path, "") for path in found)
        return
    mark = number.fullmatch(marked.name)
    limit = int(mark[1]) if mark else -1
    written = marker.stat().st_mtime_ns
    names = f"which names {marked.name}"
    for path in found:
        if int(number.fullmatch(path.name)[1]) > limit:
            if path.stat().st_mtime_ns <= written:
                yield path, f"is older than {MARKER}, {names}"
            else:
                yield path, "" if is_at_home else f"is newer than {MARKER}, {names} elsewhere"
    yield marked, ""
    for path in found:
        if int(number.fullmatch(path.name)[1]) < limit:
            yield path, ""


def folder_of(marked: Path | None, folders: Sequence[Path], number: re.Pattern) -> Path:
    """Of the folders of a run that with the marked name, or with any checkpoint.

    The folder that the mark names comes first among equals. One that is not of the run is taken
    where these have nothing.
    """

    def worth(folder: Path) -> tuple[bool, bool, bool]:
        has_marked = marked is not None and (folder / marked.name).is_file()
        is_marked = marked is not None and is_same(folder, marked.parent)
        return has_marked, bool(checkpoints_in(folder, number)), is_marked

    best = max(folders, key=worth)
    is_elsewhere = marked is not None and marked.is_file() and not any(worth(best))
    return marked.parent if is_elsewhere else best


def checkpoints_in(folder: Path, number: re.Pattern) -> list[Path]:
    """The one with the highest number first."""
    found = [path for path in folder.glob("*") if number.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(number.fullmatch(path.name)[1]), reverse=True)


def is_same(folder: Path, other: Path) -> bool:
    return os.path.realpath(folder) == os.path.realpath(other)


def marked_by(marker: Path) -> Path | None:
    if not marker.is_file():
        return None
    # A power cut can leave anything in it.
    text = marker.read_bytes().decode(errors="replace").strip("\0 \n")
    return Path(text) if text and "\0" not in text else None


def newest_whole(
    folder: Path,
    template: str,
    check: Callable[[Path, Mapping], None] | None = None,
    out_dir: Path | None = None,
) -> tuple[Path | None, dict[Path, str]]:
    """The checkpoint to resume from, and those passed over, each with why.

    check: raises ValueError for the content of a file that is whole and will not do.
    out_dir: where the run writes its checkpoints, if not to its folder.
    """
    passed_over = {}
    for path, fault in candidates([folder, out_dir or folder], template):
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
