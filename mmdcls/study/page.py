"""Where a study tells what came out."""

from collections.abc import Callable
from pathlib import Path

from mmdcls.errors import InputError

BEGIN, END = "<!-- results: written from the records -->", "<!-- end of results -->"


def page_of(summary: Callable[[str], str], folder: Path, own: Path) -> tuple[Path, str]:
    """A page and its text: of a study's own results the README beside them, with the summary
    between two lines that say so; of any other folder a README of nothing else within it.

    summary: the text, by what the page has to write before the names of the folder's files.
    """
    if folder != own:
        return folder / "README.md", f"# Results\n\n{summary('')}\n"
    readme = own.parent / "README.md"
    before, begun, rest = readme.read_text().partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise InputError(f"{readme} has lost the lines {BEGIN} and {END}; put them back.")
    return readme, f"{before}{BEGIN}\n\n{summary(f'{own.name}/')}\n\n{END}{after}"


def write_page(summary: Callable[[str], str], folder: Path, own: Path) -> Path:
    path, text = page_of(summary, folder, own)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
