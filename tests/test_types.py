"""Types hold: what mmdcls promises to a type checker (py.typed), and that signatures have them."""

import inspect
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import mmdcls
import mmdcls.dcls
from mmdcls.dcls import DclsNd

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "tests/helpers/typed_program.py"
needs_pyrefly = pytest.mark.skipif(not find_spec("pyrefly"), reason="needs pyrefly, of .[dev]")


def check(*arguments: object) -> tuple[int, str]:
    command = ["check", "--python-interpreter-path", sys.executable, "--output-format", "min-text"]
    done = subprocess.run(
        [sys.executable, "-m", "pyrefly", *command, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout


@needs_pyrefly
def test_the_package_has_no_bare_mistake():
    status, found = check()
    assert status == 0, found


@needs_pyrefly
def test_a_program_that_is_right_passes_the_strictest_check():
    status, found = check("--preset", "strict", PROGRAM)
    assert status == 0, found


WRONG = [
    ('Dcls2d(8, 8, kernel_size="17", kernel_count=34)', "bad-argument-type"),
    ("Dcls2d(8, 8, kernel_size=17)", "missing-argument"),
    ("Dcls2d(8, 8, 17, kernel_count=34, interpolations='gaussian')", "unexpected-keyword"),
    ("repulsion(Dcls2d(8, 8, 17, kernel_count=34).positions)", "bad-argument-type"),
    ("merged(3)", "bad-argument-type"),
    ("Rule(where=3)", "bad-argument-type"),
]


@needs_pyrefly
def test_a_program_that_is_wrong_is_told_where(tmp_path):
    names = "from mmdcls.dcls import Dcls2d, Rule, merged, repulsion\n"
    program = tmp_path / "program.py"
    program.write_text(names + "\n".join(line for line, _ in WRONG))
    _, found = check("--preset", "strict", "--search-path", ROOT, program)
    lines = found.splitlines()
    assert len(lines) == len(WRONG), found
    for number, (line, (_, kind)) in enumerate(zip(lines, WRONG, strict=True), start=2):
        assert f"program.py:{number}:" in line and line.endswith(f"[{kind}]")


def public() -> dict[str, object]:
    names = {f"mmdcls.dcls.{name}": getattr(mmdcls.dcls, name) for name in mmdcls.dcls.__all__}
    names |= {f"mmdcls.{name}": getattr(mmdcls, name) for name in mmdcls.__all__}
    for name, member in inspect.getmembers(DclsNd, inspect.isroutine):
        if not name.startswith("_") and member.__module__.startswith("mmdcls"):
            names[f"mmdcls.dcls.DclsNd.{name}"] = member
    return {
        name: found
        for name, found in names.items()
        # Not the constructor that a class has from torch.
        if inspect.isroutine(found)
        or inspect.isclass(found)
        and getattr(found.__init__, "__module__", "").startswith("mmdcls")
    }


@pytest.mark.parametrize("name", public())
def test_what_is_public_has_types_in_its_signature(name):
    found = public()[name]
    signature = inspect.signature(found)
    untyped = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.annotation is parameter.empty and parameter.name not in ("self", "cls")
    ]
    assert not untyped
    if inspect.isroutine(found):
        assert signature.return_annotation is not signature.empty
