"""docs/weights.md names what the code knows, and nothing that is not there."""

import re
from itertools import product
from pathlib import Path

from mmdcls.checkpoint.layouts import LAYOUTS, TOP_KEYS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "weights.md").read_text()


def variants(path: str) -> list[str]:
    """Of a path with {one,other} in it."""
    parts = re.split(r"\{(.*?)\}", path)
    choices = [part.split(",") if index % 2 else [part] for index, part in enumerate(parts)]
    return ["".join(choice) for choice in product(*choices)]


def test_every_layout_has_a_row():
    rows = re.findall(r"^\| ([\w ]+) \|", PAGE, re.MULTILINE)
    assert {layout.name for layout in LAYOUTS} <= set(rows)
    assert all(f"`{key}`" in PAGE for key in TOP_KEYS)


def test_every_file_that_is_named_is_there():
    named = re.findall(r"(?:configs|tools|tests)/[\w./{},-]+\.py", PAGE)
    paths = [path for name in named for path in variants(name)]
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).is_file()] == []
