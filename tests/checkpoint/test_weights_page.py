"""docs/weights.md names what the code knows."""

import re
from pathlib import Path

from mmdcls.checkpoint.layouts import LAYOUTS, TOP_KEYS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "weights.md").read_text()


def test_every_layout_has_a_row():
    rows = re.findall(r"^\| ([\w ]+) \|", PAGE, re.MULTILINE)
    assert {layout.name for layout in LAYOUTS} <= set(rows)
    assert all(f"`{key}`" in PAGE for key in TOP_KEYS)
