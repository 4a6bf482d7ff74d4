"""Which room of the package may take something from which: arrows point one way.

docs/house.md has the same table, and the room for something new.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mmdcls

PACKAGE = Path(mmdcls.__file__).parent
# What belongs to no room: files of the top level, under their own names.
COMMON = {"errors", "registry", "config", "wrapping"}
# A room, or file of the top level, and what it may import beside itself.
MAY_IMPORT = {
    "errors": set(),
    "dcls": set(),
    "installation": set(),
    "registry": set(),
    "shipped": {"errors"},
    "config": {"errors", "registry", "shipped"},
    "wrapping": set(),
    "zoo": {"registry", "shipped"},
    "checkpoint": {*COMMON, "dcls"},
    "models": {*COMMON, "dcls", "checkpoint"},
    "timm": {"dcls", "checkpoint"},
    "engine": {*COMMON, "dcls"},
    "data": {*COMMON},
    "analysis": {*COMMON, "dcls"},
    "deploy": {*COMMON, "dcls", "checkpoint", "data"},
    "running": {*COMMON, "dcls", "models", "engine", "checkpoint", "data"},
    "study": {*COMMON, "analysis", "dcls", "running"},
    "commands": {
        *COMMON,
        "analysis",
        "models",
        "checkpoint",
        "data",
        "deploy",
        "installation",
        "running",
        "shipped",
        "zoo",
    },
    "__main__": {"commands"},
    # The package itself: loading checkpoints safely needs nothing but an import.
    "": {"checkpoint", "shipped"},
}
# Rooms that need less than all that is installed, and what beside the standard library they take.
MAY_NEED = {"errors": set(), "shipped": set(), "installation": set(), "dcls": {"torch", "triton"}}
# Files that need more of it, and that nothing imports but who asks for them.
DRAWING = {"matplotlib", "numpy"}
FILES_NEED = {"dcls/drawing.py": DRAWING, "dcls/drawing_over_time.py": DRAWING}
MODULES = sorted(PACKAGE.rglob("*.py"))
PAGE = (PACKAGE.parent / "docs" / "house.md").read_text()


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).with_suffix("").parts[0]
    return "" if first == "__init__" else first


def imports_of(path: Path) -> Iterator[tuple[str, ...]]:
    """What a file imports, at its top or later, as parts of its name."""
    package = ("mmdcls", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            module = (*start, *(node.module.split(".") if node.module else ()))
            names = [(*module, alias.name) for alias in node.names]
        else:
            continue
        yield from names


def is_module(name: tuple[str, ...]) -> bool:
    path = PACKAGE.joinpath(*name[1:])
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def test_every_room_is_in_the_table_and_the_table_has_no_circle():
    assert {room_of(path) for path in MODULES} == set(MAY_IMPORT)
    # In the order of the table, what a room may import comes before it.
    rooms = list(MAY_IMPORT)
    for index, (room, allowed) in enumerate(MAY_IMPORT.items()):
        assert allowed <= set(rooms[:index]), room


def test_the_page_has_the_table():
    rows = re.findall(r"^\| `mmdcls/(\S+)` \|.*\|([^|]*)\|$", PAGE, re.MULTILINE)
    said = {PACKAGE / path: set(re.findall(r"\w+", allowed)) for path, allowed in rows}
    assert all(path.exists() for path in said)
    assert {room_of(path): names for path, names in said.items()} == {
        room: allowed - COMMON | {"common"} if allowed >= COMMON else allowed
        for room, allowed in MAY_IMPORT.items()
    }


def test_the_tests_have_the_same_rooms_and_all_their_helpers_in_one():
    tests = Path(__file__).parent
    rooms = {path.relative_to(tests).parts[0] for path in tests.glob("*/**/*.py")}
    assert rooms <= {*MAY_IMPORT, "helpers", "configs", "projects", "tools"}
    found = {path.relative_to(tests) for path in tests.rglob("*.py")}
    strays = {
        path for path in found if not path.name.startswith("test_") and path.parts[0] != "helpers"
    }
    assert {path.name for path in strays} == {"conftest.py"}
    texts = "".join(path.read_text() for path in tests.rglob("*.py"))
    assert not re.findall(r"^(?:from|import) test_", texts, re.MULTILINE)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_from_its_own_room_and_from_those_it_may(path):
    room, file = room_of(path), path.relative_to(PACKAGE).as_posix()
    for name in imports_of(path):
        if name[0] != "mmdcls":
            needed = MAY_NEED.get(room, {name[0]}) | FILES_NEED.get(file, set())
            assert name[0] in needed | sys.stdlib_module_names, name
        elif len(name) > 1 and is_module(name[:2]):
            assert name[1] in {room, *MAY_IMPORT[room]}, name


def test_files_import_each_other_in_no_circle():
    graph = {}
    for path in MODULES:
        parts = ("mmdcls", *path.relative_to(PACKAGE).with_suffix("").parts)
        own = parts[:-1] if parts[-1] == "__init__" else parts
        names = [name for name in imports_of(path) if name[0] == "mmdcls"]
        found = {name if is_module(name) else name[:-1] for name in names}
        graph[own] = {name for name in found if name != own and is_module(name)}
    assert sum(map(len, graph.values())) > 100
    # Peel off files whose imports are gone already; a package is entered before what is in it.
    while free := [name for name, found in graph.items() if not found & graph.keys()]:
        for name in free:
            del graph[name]
    assert not graph, sorted(".".join(name) for name in graph)
