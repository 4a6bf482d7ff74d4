"""Clips and their labels: a folder with a table, or as AudioSet is published."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from mmdcls.errors import InputError

from .registry import DATASETS
from .sounds import fitted, read_sound

SEPARATOR = ";"


class Clips(Dataset):
    """Sound files, each with the numbers of its classes.

    Items are dict(inputs (samples,) int16, labels (classes,) of zeros and ones).

    rate: samples a second to which files are brought; seconds: to which clips are cut, or padded
        with silence, at the end.
    in_memory: whether all are read at once, and kept.
    """

    def __init__(
        self,
        items: Sequence[tuple[Path, Sequence[int]]],
        classes: Sequence[str],
        rate: int,
        seconds: float,
        in_memory: bool,
    ) -> None:
        self.items, self.metainfo = list(items), dict(classes=tuple(classes))
        self.rate, self.length = rate, round(rate * seconds)
        self.kept = None
        if in_memory:
            paths = tqdm([path for path, _ in items], desc="clips", unit="clip", leave=False)
            self.kept = np.stack([self.read(path) for path in paths])

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        path, numbers = self.items[index]
        clip = self.read(path) if self.kept is None else self.kept[index]
        labels = torch.zeros(len(self.metainfo["classes"]))
        labels[list(numbers)] = 1
        return dict(inputs=torch.from_numpy(clip), labels=labels)

    def read(self, path: Path) -> np.ndarray:
        return fitted(read_sound(path, self.rate), self.length)


@DATASETS.register_module()
class ClipFolder(Clips):
    """Clips of a table in CSV, with the columns `file`, below the folder of the table, and `label`,
    several of which are separated by ";".

    part: of a table with a column `part`, only the rows with this value.
    classes: names of the classes, in their order; None for all labels of the whole table, sorted.
    """

    def __init__(
        self,
        table: str,
        rate: int,
        seconds: float,
        part: str | None = None,
        classes: Sequence[str] | None = None,
        in_memory: bool = False,
    ) -> None:
        path = Path(table)
        rows = rows_of(path, {"file", "label"} | ({"part"} if part is not None else set()))
        labels = [[label.strip() for label in row["label"].split(SEPARATOR)] for row in rows]
        for row, some in zip(rows, labels, strict=True):
            if not all(some):
                raise InputError(f"{path} has an empty label of {row['file']}: mend the table.")
        if classes is not None and len(set(classes)) < len(classes):
            raise InputError(f"classes of the data set name one twice: {', '.join(classes)}.")
        if classes is None:
            classes = sorted({label for some in labels for label in some})
        numbers = {name: number for number, name in enumerate(classes)}
        items = []
        for row, some in zip(rows, labels, strict=True):
            if unknown := [label for label in some if label not in numbers]:
                raise InputError(
                    f"{path} has the label {unknown[0]!r} of {row['file']}, and classes are "
                    f"{', '.join(classes)}: mend the table, or classes of the data set."
                )
            if part is None or row["part"] == part:
                items.append((path.parent / row["file"], [numbers[label] for label in some]))
        if not items:
            parts = ", ".join(sorted({row["part"] for row in rows if "part" in row}))
            raise InputError(
                f"{path} has no row of the part {part!r}; there are {parts or 'none'}."
            )
        super().__init__(items, classes, rate, seconds, in_memory)


@DATASETS.register_module()
class AudioSet(Clips):
    """AudioSet as it is published: tables of segments and of classes, and a folder of clips.

    segments: path of one or several tables such as eval_segments.csv, rows of a YouTube id, start,
        end and ids of classes.
    classes: class_labels_indices.csv.
    clips: folder of the sound files; names: of the file of a segment, with {id}, {start} and {end},
        seconds as in the table.

    Segments without a file, as videos vanish, are left out, and their number is logged. Raises
    InputError where none has one.
    """

    def __init__(
        self,
        segments: str | Sequence[str],
        classes: str,
        clips: str,
        names: str = "Y{id}.wav",
        rate: int = 32000,
        seconds: float = 10.0,
        in_memory: bool = False,
    ) -> None:
        titles = titles_of(Path(classes))
        numbers = {mid: number for number, mid in enumerate(titles)}
        items, missing = [], 0
        tables = [segments] if isinstance(segments, str) else segments
        for name, start, end, ids in (row for table in tables for row in segments_of(Path(table))):
            path = Path(clips) / named(names, id=name, start=start, end=end)
            if unknown := [mid for mid in ids if mid not in numbers]:
                raise InputError(f"{name} is of the class {unknown[0]}, which {classes} has not.")
            if path.is_file():
                items.append((path, [numbers[mid] for mid in ids]))
            else:
                missing += 1
        if not items:
            raise InputError(
                f"Of {missing} segments of {', '.join(tables)} none has a file in {clips}, by the "
                f"name {names}: give clips and names of the data set."
            )
        if missing:
            print_log(f"{missing} of {missing + len(items)} segments have no file in {clips}.")
        super().__init__(items, list(titles.values()), rate, seconds, in_memory)


def named(names: str, **parts: str) -> str:
    try:
        return names.format(**parts)
    except (KeyError, IndexError) as error:
        known = ", ".join(f"{{{part}}}" for part in parts)
        raise InputError(f"names={names!r} of the data set may hold {known} alone.") from error


def titles_of(path: Path) -> dict[str, str]:
    """Of AudioSet's table of classes: id and name, in the order of the numbers."""
    rows = rows_of(path, {"index", "mid", "display_name"})
    if wrong := [row["index"] for row in rows if not row["index"].isdecimal()]:
        raise InputError(f"{path} has the index {wrong[0]!r}, which is no number.")
    rows.sort(key=lambda row: int(row["index"]))
    return {row["mid"]: row["display_name"] for row in rows}


def segments_of(path: Path) -> Iterable[tuple[str, str, str, list[str]]]:
    """id, start and end in seconds, ids of classes."""
    with opened(path) as file:
        lines = (line for line in file if not line.startswith("#"))
        for row in filter(None, csv.reader(lines, skipinitialspace=True)):
            if len(row) != 4:
                raise InputError(
                    f"{path} has a row of {len(row)} columns in place of 4, {', '.join(row)!r}: "
                    f"is it one of AudioSet's tables of segments?"
                )
            name, start, end, ids = row
            yield name, start, end, [mid.strip() for mid in ids.split(",")]


def rows_of(path: Path, columns: set[str]) -> list[dict[str, str]]:
    """Raises InputError for a table that is not there, or lacks one of the columns in any line."""
    with opened(path) as file:
        reader = csv.DictReader(file)
        if lacking := columns - set(reader.fieldnames or ()):
            raise InputError(
                f"{path} lacks the column {', '.join(sorted(lacking))}; its first line has "
                f"{', '.join(reader.fieldnames or ()) or 'nothing'}."
            )
        rows = []
        for row in reader:
            if any(row[name] is None for name in columns):
                raise InputError(
                    f"Line {reader.line_num} of {path} has fewer columns than the first: mend it."
                )
            rows.append(row)
        return rows


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    if not path.is_file():
        raise InputError(
            f"There is no {path}: for the spoken prompts run python -m projects.audio.prepare, or "
            f"name the table of your own clips in the config's data sets."
        )
    try:
        # Spreadsheets put a mark before the text, which is no part of the first column's name.
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield file
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text in UTF-8 ({error}); save it as CSV in UTF-8.") from (
            error
        )
