"""Write examples/digits.ipynb, the training of examples/digits.py told in cells.

python tools/notebook.py

The code is that of the script alone; here is what is said between its parts.
"""

import json
from collections.abc import Sequence
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SCRIPT, NOTEBOOK = EXAMPLES / "digits.py", EXAMPLES / "digits.ipynb"
TITLE = """\
# A taste of DCLS

Convolutions whose few elements learn where they stand, in plain PyTorch: no mmcv, no GPU, 10 s of
one core. In a terminal, in a clone of the repository:

    pip install -e . scikit-learn matplotlib notebook
    jupyter notebook examples/digits.ipynb"""
# What stands before the line of the script that begins so.
SAID = {
    "from mmdcls import": "What is needed. `mmdcls.dcls` is torch alone.",
    "images, labels": "1797 digits of 8x8 pixels, of which the last 397 are held out.",
    "layers, steps": "Two depthwise layers of 7x7 kernels, with 5 elements in each kernel.",
    "start, falling": (
        "Where elements start is kept, to see later how far they came. Under Adam a position gets "
        "about as far as the sum of its rate, so the rate follows from the schedule: three radii "
        "of the kernel at most."
    ),
    "for step": (
        "The training. What DCLS adds to a loop are three calls: widths that shrink, a term of the "
        "loss that keeps elements apart, and positions that are brought back into their kernel."
    ),
    "print(dcls": "What became of the positions, in figures; and of the digits.",
    "draw_positions": (
        "On top, where the elements of all kernels stand; below, three kernels of each layer, with "
        "the way of every element from where it started."
    ),
}
SHOWN = 'from IPython.display import Image\n\nImage("positions.png")'


def parts_of(script: str) -> list[tuple[str, str]]:
    """What is said and the code after it; raises ValueError where a part is not in the script."""
    starts = []
    for beginning in SAID:
        at = f"\n{script}".find(f"\n{beginning}")
        if at < 0 or (starts and at < starts[-1]):
            raise ValueError(f"no line of the script, in this order, begins with {beginning!r}")
        starts.append(at)
    ends = [*starts[1:], len(script)]
    codes = [script[start:end].strip() for start, end in zip(starts, ends, strict=True)]
    return list(zip(SAID.values(), codes, strict=True))


def notebook_of(script: str) -> dict:
    cells = [("markdown", TITLE)]
    for said, code in parts_of(script):
        cells += [("markdown", said), ("code", code)]
    cells.append(("code", SHOWN))
    return dict(
        cells=[cell_of(kind, text, index) for index, (kind, text) in enumerate(cells)],
        metadata=dict(
            kernelspec=dict(display_name="Python 3", language="python", name="python3"),
            language_info=dict(name="python"),
        ),
        nbformat=4,
        nbformat_minor=5,
    )


def cell_of(kind: str, text: str, index: int) -> dict:
    cell = dict(cell_type=kind, id=f"cell-{index}", metadata={}, source=text.splitlines(True))
    return cell | dict(execution_count=None, outputs=[]) if kind == "code" else cell


def text_of(notebook: dict) -> str:
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    NOTEBOOK.write_text(text_of(notebook_of(SCRIPT.read_text())), encoding="utf-8")


if __name__ == "__main__":
    main()
