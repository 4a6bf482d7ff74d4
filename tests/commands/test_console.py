"""What the console command does whatever its command is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import mmdcls
from mmdcls import commands

ROOT = Path(mmdcls.__file__).parents[1]


def test_the_version_is_said_and_stands_in_one_place(capsys):
    with pytest.raises(SystemExit) as ended:
        commands.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"mmdcls {mmdcls.__version__}\n"
    said = [sys.executable, "setup.py", "--version"]
    done = subprocess.run(said, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split()[-1] == mmdcls.__version__, done.stderr
    assert not re.search(re.escape(mmdcls.__version__), (ROOT / "setup.py").read_text())


def test_the_package_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "mmdcls", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert set(commands.COMMANDS) <= set(done.stdout.split())


@pytest.mark.parametrize("command", ["check", "predict"])
def test_a_command_that_cannot_be_imported_names_the_doctor(command, monkeypatch):
    def fail(name: str) -> None:
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr(commands, "import_module", fail)
    with pytest.raises(SystemExit, match=rf"mmdcls {command} .*libGL.*`mmdcls doctor` tells"):
        commands.main([command, "config.py"])
