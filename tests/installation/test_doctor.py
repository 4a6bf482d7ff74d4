"""`mmdcls doctor` in environments made of stand-in packages, one broken in each way we know."""

import subprocess
import sys
import venv
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from mmdcls import __version__
from mmdcls.installation.diagnosis import CHECKS, FAILURES
from mmdcls.installation.environment import STACKS

ROOT = Path(__file__).parents[2]
TORCH = """
__version__ = "2.13.0"
class version:
    cuda = None
class cuda:
    is_available = staticmethod(lambda: False)
"""
TORCH_WITH_GPU = """
__version__ = "2.13.0"
class version:
    cuda = "13.0"
class cuda:
    is_available = staticmethod(lambda: True)
    get_device_name = staticmethod(lambda: "H100")
"""
OPS = "get_compiling_cuda_version = lambda: 'not available'"
FILES = {
    "numpy/__init__.py": "__version__ = '2.4.0'",
    "torch/__init__.py": TORCH,
    "mmengine/__init__.py": "__version__ = '0.10.7'",
    "mmcv/__init__.py": "__version__ = '2.1.0'",
    "mmcv/_ext.py": OPS,
    "mmdet/__init__.py": "__version__ = '3.3.0'",
    "mmseg/__init__.py": "__version__ = '1.2.2'",
    "pycocotools/__init__.py": "",
    "pycocotools/mask.py": "",
    "pkg_resources/__init__.py": "",
    "matplotlib/__init__.py": "",
    "ftfy/__init__.py": "",
    "regex/__init__.py": "",
}
OTHERS = {"numpy": "2.4.0", "torch": "2.13.0", "setuptools": "81.0.0"}
OPENMMLAB = {"mmengine": "0.10.7", "mmcv": "2.1.0", "mmdet": "3.3.0", "mmsegmentation": "1.2.2"}
ONEDL = {
    "onedl-mmengine": "0.10.12",
    "onedl-mmcv": "2.3.6",
    "onedl-mmdetection": "3.5.1",
    "onedl-mmsegmentation": "1.4.2",
}
# The sentences of the packages themselves.
INCOMPATIBLE = (
    "raise AssertionError('MMCV==2.2.0 is used but incompatible. "
    "Please install mmcv>=2.0.0rc4, <2.2.0.')"
)
UNDEFINED = (
    "raise ImportError('/env/mmcv/_ext.cpython-311-x86_64-linux-gnu.so: "
    "undefined symbol: _ZN3c106detail14torchCheckFailEPKcS2_jRKSs')"
)
DTYPE_SIZE = (
    "raise ValueError('numpy.dtype size changed, may indicate binary incompatibility. "
    "Expected 96 from C header, got 88 from PyObject')"
)
ABI = (
    "raise RuntimeError('module was compiled against NumPy C-API version 0x10 (NumPy 1.23) "
    "but the running NumPy has C-API version 0xf')"
)
NO_LIBGL = (
    "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')"
)


@dataclass(frozen=True)
class Case:
    """A row of doctor's tables, how to bring it about, and what is to be read then."""

    row: str
    sentence: str
    command: str
    files: dict[str, str | None] = field(default_factory=dict)
    distributions: dict[str, str | None] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.row}: {self.sentence}"


CASES = [
    Case(
        "both_stacks",
        "both are installed: mmengine, mmcv, mmdet, mmsegmentation, onedl-mmcv",
        "pip uninstall -y mmengine mmcv mmdet mmsegmentation onedl-mmcv && pip install",
        distributions={"onedl-mmcv": "2.3.6"},
    ),
    Case(
        "word_segmenter",
        "mmseg is a Chinese word segmenter",
        "pip uninstall -y mmseg && pip install --force-reinstall --no-deps mmsegmentation",
        distributions={"mmseg": "1.3.0", "mmsegmentation": None},
    ),
    Case(
        "mmcv_lite",
        "mmcv-lite has none of mmcv's ops",
        "pip uninstall -y mmcv-lite mmcv && ",
        {"mmcv/_ext.py": None},
        {"mmcv": None, "mmcv-lite": "2.1.0"},
    ),
    Case(
        "old_torch",
        "torch 2.3.1+cu121 is too old; 2.6 or newer",
        'pip install "torch>=2.6" && ',
        {"torch/__init__.py": TORCH.replace("2.13.0", "2.3.1+cu121")},
    ),
    Case(
        "ops_without_cuda",
        "compiled without CUDA and do not run on the H100",
        "export FORCE_CUDA=1 && ",
        {"torch/__init__.py": TORCH_WITH_GPU},
    ),
    Case(
        "no_ops",
        "mmcv was installed without its ops",
        'pip install --no-build-isolation --no-cache-dir "mmcv>=2.0,<2.2"',
        {"mmcv/_ext.py": None},
    ),
    Case(
        "other_torch",
        "compiled for another torch than 2.13.0",
        "pip uninstall -y mmcv && ",
        {"mmcv/_ext.py": UNDEFINED},
    ),
    Case(
        "other_mmcv",
        "mmcv 2.2.0 does not fit mmdet and mmseg, which take mmcv>=2.0,<2.2",
        "pip uninstall -y mmcv && ",
        {"mmdet/__init__.py": INCOMPATIBLE, "mmseg/__init__.py": INCOMPATIBLE},
    ),
    Case(
        "no_pkg_resources",
        "setuptools 82 removed; setuptools 82.0.1 is installed",
        'pip install "setuptools<82"',
        {"pkg_resources/__init__.py": None},
        {"setuptools": "82.0.1"},
    ),
    Case(
        "no_pkg_resources",
        "setuptools is not installed",
        'pip install "setuptools<82"',
        {"pkg_resources/__init__.py": None},
        {"setuptools": None},
    ),
    Case(
        "other_torchvision",
        "torchvision 0.28.0 does not load beside torch 2.13.0 (RuntimeError: operator",
        "pip uninstall -y torchvision",
        {
            "torchvision.py": "raise RuntimeError('operator torchvision::nms does not exist')",
            "mmseg/__init__.py": "import torchvision",
        },
        {"torchvision": "0.28.0"},
    ),
    Case(
        "other_torchvision",
        "does not load beside torch 2.13.0 (RuntimeError: operator torchvision::nms does not "
        "exist), nor do timm and mmpretrain, which import it, and mmseg",
        'pip install --force-reinstall --no-deps "torchvision==0.28.*" '
        "--index-url INDEX_OF_YOUR_TORCH",
        {
            "torchvision.py": "raise RuntimeError('operator torchvision::nms does not exist')",
            "timm/__init__.py": "import torchvision",
            "mmpretrain/__init__.py": "import torchvision",
            "mmseg/__init__.py": "import timm",
        },
        {"torchvision": "0.28.0", "timm": "1.0.31", "mmpretrain": "1.2.0"},
    ),
    Case(
        "other_torchvision",
        "the build for the same torch (cu130), from the index that such a torch comes from",
        'pip install --force-reinstall --no-deps "torchvision==0.28.*" '
        "--index-url INDEX_OF_YOUR_TORCH",
        {
            "torch/__init__.py": TORCH_WITH_GPU,
            "mmcv/_ext.py": OPS.replace("not available", "13.0"),
            "torchvision.py": "raise RuntimeError('operator torchvision::nms does not exist')",
            "timm/__init__.py": "import torchvision",
        },
        {"torchvision": "0.28.0", "timm": "1.0.31"},
    ),
    Case(
        "missing",
        "torchvision is not installed, and timm needs it",
        "pip install torchvision",
        {"timm/__init__.py": "import torchvision"},
        {"timm": "1.0.31"},
    ),
    Case(
        "missing",
        "ftfy is not installed, and mmseg needs it",
        "pip install ftfy",
        {"ftfy/__init__.py": None},
    ),
    Case(
        "missing",
        "mmdet is not installed",
        'pip install "mmdet>=3.3"',
        {"mmdet/__init__.py": None},
        {"mmdet": None},
    ),
    Case(
        "missing",
        "PIL is not installed, and mmseg needs it",
        "pip install pillow",
        {"mmseg/__init__.py": "import PIL.Image"},
    ),
    Case(
        "other_numpy",
        "pycocotools was compiled for another numpy than 2.4.0",
        "pip uninstall -y pycocotools && pip install pycocotools --no-cache-dir",
        {"pycocotools/mask.py": DTYPE_SIZE},
    ),
    Case(
        "other_numpy",
        "scipy was compiled for another numpy than 2.4.0",
        "pip uninstall -y scipy && pip install scipy --no-cache-dir",
        {"scipy.py": ABI, "mmdet/__init__.py": "import scipy"},
    ),
    Case(
        "system_library",
        "OpenCV looks for libGL.so.1",
        "pip uninstall -y opencv-python && pip install --force-reinstall opencv-python-headless",
        {"cv2/__init__.py": NO_LIBGL, "mmcv/__init__.py": "import cv2"},
    ),
    Case(
        "broken",
        "mmseg does not import (RuntimeError: out of order)",
        'pip uninstall -y mmsegmentation && pip install "mmsegmentation>=1.2"',
        {"mmseg/__init__.py": "raise RuntimeError('out of order')"},
    ),
    Case(
        "broken",
        "mmdet does not import (the interpreter dies",
        'pip uninstall -y mmdet && pip install "mmdet>=3.3"',
        {"mmdet/__init__.py": "import os; os.abort()"},
    ),
]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with nothing installed."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    return folder / "bin" / "python"


def doctor(python: Path, packages: Path) -> subprocess.CompletedProcess:
    code = "import sys; from mmdcls.commands import main; sys.exit(main(['doctor']))"
    environment = {"PYTHONPATH": f"{packages}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(python), "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=packages)


def write_packages(
    folder: Path, files: dict[str, str | None], distributions: dict[str, str | None]
) -> None:
    for path, text in files.items():
        if text is not None:
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text)
    for name, version in distributions.items():
        if version is not None:
            record = folder / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
            record.parent.mkdir()
            record.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_every_row_of_the_tables_has_a_case():
    assert {case.row for case in CASES} == {*CHECKS, *FAILURES}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_problem_is_named_once_with_the_command_that_mends_it(
    case: Case, python: Path, tmp_path: Path
):
    distributions = OTHERS | OPENMMLAB | case.distributions
    write_packages(tmp_path, FILES | case.files, distributions)
    result = doctor(python, tmp_path)
    assert result.returncode == 1, result.stderr
    lines = result.stdout.splitlines()
    problems = lines[lines.index("") + 1 :]
    assert len(problems) == 2, result.stdout
    assert case.sentence in problems[0]
    assert case.command in problems[1]


@pytest.mark.parametrize("stack", ["OpenMMLab", "onedl"])
def test_a_healthy_environment_has_no_problem(stack: str, python: Path, tmp_path: Path):
    distributions = {"OpenMMLab": OPENMMLAB, "onedl": ONEDL | {"setuptools": "82.0.1"}}[stack]
    files = FILES | ({"pkg_resources/__init__.py": None} if stack == "onedl" else {})
    write_packages(tmp_path, files, OTHERS | distributions)
    result = doctor(python, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "No problem found" in result.stdout
    assert f"stack     {stack}\n" in result.stdout
    assert f"mmdcls    {__version__}, in {ROOT / 'mmdcls'}\n" in result.stdout


def test_what_a_module_prints_is_not_taken_for_a_report(python: Path, tmp_path: Path):
    prints = "import os; print('hello'); os.write(1, b'Intel MKL WARNING: hello\\n')"
    write_packages(tmp_path, FILES | {"ftfy/__init__.py": prints}, OTHERS | OPENMMLAB)
    result = doctor(python, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "hello" not in result.stdout


def test_with_nothing_installed_each_package_is_asked_for(python: Path, tmp_path: Path):
    result = doctor(python, tmp_path)
    assert result.returncode == 1, result.stderr
    stack = ("mmengine", "mmcv", "mmdet", "mmseg", "pycocotools", "ftfy", "matplotlib")
    for name in ("numpy", "torch", *stack):
        assert f"{name} is not installed" in result.stdout
    assert "mmdcls.dcls and mmdcls.timm need nothing of it" in result.stdout


@pytest.mark.slow
def test_the_environment_of_these_tests_is_healthy():
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            "import mmdcls.commands; raise SystemExit(mmdcls.commands.main(['doctor']))",
        ],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert metadata.version("torch") in result.stdout
    assert "its ops are there" in result.stdout


@pytest.mark.parametrize("stack", STACKS)
def test_what_doctor_asks_for_is_what_the_extra_asks_for(stack: str):
    extra = {"extra": stack.lower()}
    requirements = map(Requirement, metadata.requires("mmdcls"))
    asked = {
        (wanted.name, wanted.specifier)
        for wanted in requirements
        if wanted.marker is not None and wanted.marker.evaluate(extra)
    }
    mine = [Requirement(wanted) for wanted in STACKS[stack].values()]
    assert {(wanted.name, wanted.specifier) for wanted in mine} <= asked
