"""The cache of mmcv wheels: kept per torch and Python, and never a damaged one."""

import importlib.util
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "install_stack.py"
spec = importlib.util.spec_from_file_location("install_stack", TOOL)
install_stack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(install_stack)


def write_wheel(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / "mmcv-0-cp0-cp0-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in names:
            archive.writestr(name, "content " * 100)
    return wheel


SOURCES = ("nms.cpp", "pybind.cpp", "roi_align.cpp", "cpu/nms.cpp", "cpu/roi_align.cpp")


def write_sources(folder: Path) -> None:
    tree = folder / "mmcv-0"
    for name in SOURCES:
        source = tree / install_stack.OPS / name
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(f"// {name}")
    with tarfile.open(folder / "mmcv-0.tar.gz", "w:gz") as archive:
        archive.add(tree, tree.name)


def test_a_whole_wheel_with_its_ops_is_used(tmp_path):
    wheel = write_wheel(tmp_path, "mmcv/__init__.py", "mmcv/_ext.so")
    assert install_stack.whole_wheel(tmp_path) == wheel


@pytest.mark.parametrize("fault", ["truncated", "empty", "flipped", "without ops"])
def test_any_other_wheel_is_removed(tmp_path, fault):
    names = ["mmcv/__init__.py"] if fault == "without ops" else ["mmcv/_ext.so"]
    wheel = write_wheel(tmp_path, *names)
    content = wheel.read_bytes()
    if fault == "truncated":
        wheel.write_bytes(content[: len(content) // 2])
    elif fault == "empty":
        wheel.write_bytes(b"")
    elif fault == "flipped":
        wheel.write_bytes(content.replace(b"content ", b"CONTENT ", 1))
    assert install_stack.whole_wheel(tmp_path) is None
    assert not wheel.exists()


@pytest.fixture
def built(tmp_path, monkeypatch):
    """Requirements that were compiled, with a compiler that writes a wheel at once."""
    found = []

    def pip(*arguments: str, **environment: str) -> None:
        if arguments[0] == "download":
            found.append(arguments[-1])
            write_sources(Path(arguments[arguments.index("-d") + 1]))
        else:
            write_wheel(Path(arguments[arguments.index("-w") + 1]), "mmcv/_ext.so")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(install_stack, "pip", pip)
    return found


def pretend_torch(monkeypatch, report: str) -> None:
    monkeypatch.setattr(install_stack.subprocess, "check_output", lambda *_, **__: report)


def test_a_wheel_is_built_once_and_never_serves_another_torch_python_or_stack(built, monkeypatch):
    cpu, other, cuda = "2.13.0+cpu False None", "2.14.0+cpu False None", "2.13.0 True 13.0"
    wheels = set()
    for report in (cpu, other, cuda):
        pretend_torch(monkeypatch, report)
        for stack in install_stack.MMCV:
            wheels.add(install_stack.mmcv_wheel(stack))
            assert install_stack.mmcv_wheel(stack) in wheels
    assert len(built) == len(wheels) == 6
    monkeypatch.setattr(sys.implementation, "cache_tag", "cpython-399")
    assert install_stack.mmcv_wheel("openmmlab") not in wheels
    assert any(
        "torch-2.13.0+cpu" in str(wheel) and sys.implementation.cache_tag not in str(wheel)
        for wheel in wheels
    )


def test_an_interrupted_build_leaves_no_wheel(built, monkeypatch):
    pretend_torch(monkeypatch, "2.13.0+cpu False None")
    complete = install_stack.pip

    def interrupted(*arguments: str, **environment: str) -> None:
        complete(*arguments, **environment)
        if arguments[0] == "wheel":
            raise KeyboardInterrupt

    monkeypatch.setattr(install_stack, "pip", interrupted)
    with pytest.raises(KeyboardInterrupt):
        install_stack.mmcv_wheel("openmmlab")
    monkeypatch.setattr(install_stack, "pip", complete)
    install_stack.mmcv_wheel("openmmlab")
    assert len(built) == 2


def test_united_sources_include_every_source_once(tmp_path):
    write_sources(tmp_path)
    tree = tmp_path / "mmcv-0"
    install_stack.unite(tree)
    ops = tree / install_stack.OPS
    compiled = sorted(str(path.relative_to(ops)) for path in ops.glob("**/*.cpp"))
    assert compiled == ["cpu/roi_align.cpp", "cpu/united.cpp", "united.cpp"]
    included = [
        path.parent / line.split('"')[1]
        for path in ops.glob("**/united.cpp")
        for line in path.read_text().splitlines()
    ]
    alone = [ops / name for name in compiled if "united" not in name]
    texts = [path.read_text() for path in included + alone]
    assert sorted(texts) == sorted(f"// {name}" for name in SOURCES)


def test_sources_that_do_not_compile_together_are_compiled_one_by_one(built, monkeypatch, capsys):
    pretend_torch(monkeypatch, "2.13.0+cpu False None")
    complete = install_stack.pip

    def pip(*arguments: str, **environment: str) -> None:
        if arguments[0] == "wheel" and list(Path(arguments[-1]).glob("**/united.cpp")):
            raise subprocess.CalledProcessError(1, "c++")
        complete(*arguments, **environment)

    monkeypatch.setattr(install_stack, "pip", pip)
    assert install_stack.mmcv_wheel("openmmlab").exists()
    assert "each source by itself" in capsys.readouterr().out
