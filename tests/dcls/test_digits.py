"""The loop that the README leads to: short, in plain PyTorch, and its elements move.

The page beside it, too, is true as it stands.
"""

import ast
import inspect
import re
import runpy
from operator import attrgetter
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread

import mmdcls.dcls
import mmdcls.dcls.drawing
import mmdcls.dcls.drawing_over_time
from helpers.small_networks import several

ROOT = Path(mmdcls.__file__).parents[1]
EXAMPLE = ROOT / "examples" / "digits.py"
TEXT = EXAMPLE.read_text()
PAGE = (ROOT / "docs" / "your_own_loop.md").read_text()


def test_it_has_at_most_30_lines_and_needs_neither_mmengine_nor_mmcv():
    assert len(TEXT.splitlines()) <= 30
    nodes = ast.walk(ast.parse(TEXT))
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert modules == {"sklearn.datasets", "torch.nn", "mmdcls", "mmdcls.dcls.drawing"}


def test_it_imports_mmdcls_before_torch_so_that_threads_that_wait_do_not_spin():
    first, *_ = (n for n in ast.parse(TEXT).body if isinstance(n, (ast.Import, ast.ImportFrom)))
    assert isinstance(first, ast.ImportFrom) and first.module == "mmdcls"


def test_the_first_screen_of_the_readme_leads_to_it():
    first = (ROOT / "README.md").read_text().splitlines()[:30]
    assert any("](examples/digits.py)" in line for line in first)


@pytest.mark.slow
def test_it_learns_and_shows_elements_that_have_moved(tmp_path, monkeypatch, capsys, on_cpu):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLE))
    head, *rows, result = capsys.readouterr().out.splitlines()
    column = head.split().index("movement") + 1
    assert len(rows) == 2 and all(float(row.split()[column]) > 0.5 for row in rows)
    # Chance is a tenth.
    assert float(re.search(r"([\d.]+)%", result)[1]) > 80
    assert imread(tmp_path / "positions.png").std() > 0.01


def test_the_page_lists_functions_with_the_arguments_they_take():
    rows = re.findall(r"^\| (`.*?`) \|", PAGE, re.MULTILINE)
    calls = re.findall(r"`([\w.]+)\(([^)]*)\)`", "".join(rows))
    assert len(calls) == 16
    for name, arguments in calls:
        function = attrgetter(name)(mmdcls.dcls)
        given = [argument for argument in arguments.split(", ") if argument != "..."]
        assert list(inspect.signature(function).parameters)[: len(given)] == given, name


def test_the_code_of_the_page_runs():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names = {**vars(mmdcls.dcls), "torch": torch, "model": several(), "steps": 5}
    exec("\n".join(blocks), names)
    assert len(blocks) == 2
    assert len(names["optimizer"].param_groups) == 3
