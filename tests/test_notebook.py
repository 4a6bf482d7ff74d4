"""The notebook is the script, told in cells, and it runs."""

import ast
import json
import re
import shutil
from pathlib import Path

import pytest

from helpers.docs_folder import needs_folder, run
from tools import notebook

EXECUTE = "from nbclient.cli import main; main()"


def test_it_is_what_the_command_writes_of_the_script():
    written = notebook.text_of(notebook.notebook_of(notebook.SCRIPT.read_text()))
    assert notebook.NOTEBOOK.read_text() == written, "run tools/notebook.py"


def test_its_code_is_the_script_s_and_one_cell_that_shows_the_picture():
    cells = json.loads(notebook.NOTEBOOK.read_text())["cells"]
    codes = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert codes.pop() == notebook.SHOWN
    assert ast.dump(ast.parse("\n".join(codes))) == ast.dump(ast.parse(notebook.SCRIPT.read_text()))
    assert all(cell["outputs"] == [] for cell in cells if "outputs" in cell)


def test_a_script_that_lacks_a_part_is_told():
    with pytest.raises(ValueError, match="begins with 'start, falling'"):
        notebook.parts_of(notebook.SCRIPT.read_text().replace("start, falling", "begin, falling"))


@needs_folder
@pytest.mark.slow
def test_it_runs_to_a_picture_of_elements_that_have_moved(tmp_path):
    # In a folder of its own, in which it leaves its picture.
    copy = shutil.copy(notebook.NOTEBOOK, tmp_path)
    run("-c", EXECUTE, copy, "--inplace", cwd=tmp_path)
    cells = json.loads(Path(copy).read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    said = "".join("".join(output.get("text", "")) for output in outputs)
    assert float(re.search(r"held out: ([\d.]+)%", said)[1]) > 80
    assert any("image/png" in output.get("data", {}) for output in outputs)
