"""What pages, scripts and docstrings name is there."""

import pkgutil
import re
from itertools import product

import pytest

from helpers.pages import PAGES, ROOT, name_of

SOURCES = [
    ROOT / "Makefile",
    ROOT / "pyproject.toml",
    *(
        path
        for room in ("mmdcls", "projects", "tests", "tools")
        for path in sorted(ROOT.glob(f"{room}/**/*.py"))
    ),
]
# Not as a part of a longer path or of an address. configs/mine is the user's.
PATH = re.compile(
    r"(?<![\w./-])(?:mmdcls|projects|tests|tools|docs|configs(?!/mine))/[\w./{},-]+\.(?:py|sh|md)\b"
)
# The package and its modules are in lower case, as against the pieces that configs name.
MODULE = re.compile(r"\bmmdcls(?:\.[a-z_]+)+\b(?!=)")


def variants(path: str) -> list[str]:
    """Of a path with {one,other} in it."""
    parts = re.split(r"\{(.*?)\}", path)
    choices = [part.split(",") if index % 2 else [part] for index, part in enumerate(parts)]
    return ["".join(choice) for choice in product(*choices)]


def missing_paths(text: str) -> list[str]:
    paths = (path for name in PATH.findall(text) for path in variants(name))
    return [path for path in paths if not (ROOT / path).is_file()]


def test_pages_name_many_files():
    assert sum(len(PATH.findall(page.read_text())) for page in PAGES) > 50


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_and_module_that_a_page_names_is_there(page):
    text = page.read_text()
    links = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
    assert missing_paths(text) == []
    for name in MODULE.findall(text):
        pkgutil.resolve_name(name)


def test_every_file_that_scripts_and_docstrings_name_is_there():
    named = {str(path.relative_to(ROOT)): missing_paths(path.read_text()) for path in SOURCES}
    assert {path: missing for path, missing in named.items() if missing} == {}
