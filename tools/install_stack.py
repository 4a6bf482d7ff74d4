"""Install mmdcls with one of its two stacks into the environment of the Python that runs this.

    python tools/install_stack.py openmmlab    (or: onedl)

mmcv is on the package index as source only, and compiling its ops takes minutes. The wheel is
therefore kept in the user's cache, in a folder named after everything it was built against.
"""

import argparse
import fcntl
import os
import platform
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MMCV = dict(openmmlab="mmcv", onedl="onedl-mmcv")
# What mmcv's setup.py imports, so its build must see this environment.
BUILD_NEEDS = ["torch", "numpy", "setuptools", "wheel", "ninja"]


def pip(*arguments: str, **environment: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    command += ["-c", str(ROOT / "constraints.txt")]
    subprocess.run(command, check=True, env={**os.environ, **environment})


def built_against() -> str:
    """Names torch, its CUDA, Python and platform: a wheel serves only where all are the same."""
    report = "import torch; print(torch.__version__, torch.cuda.is_available(), torch.version.cuda)"
    command = [sys.executable, "-c", report]
    torch, sees_gpu, cuda = subprocess.check_output(command, text=True).split()
    with_cuda = sees_gpu == "True" or os.environ.get("FORCE_CUDA") == "1"
    ops = f"cuda{cuda}" if with_cuda else "cpu"
    libc = "".join(platform.libc_ver())
    tag = sys.implementation.cache_tag
    return f"torch-{torch}_{ops}_{tag}_{sysconfig.get_platform()}_{libc}"


def whole_wheel(folder: Path) -> Path | None:
    for wheel in folder.glob("*.whl"):
        try:
            with zipfile.ZipFile(wheel) as archive:
                has_ops = any("/_ext." in name for name in archive.namelist())
                if has_ops and archive.testzip() is None:
                    return wheel
        except zipfile.BadZipFile:
            pass
        print(f"removing {wheel}: it is damaged or lacks mmcv's ops")
        wheel.unlink()
    return None


def pinned(package: str) -> str:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{package}=="))


def mmcv_wheel(stack: str) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    requirement = pinned(MMCV[stack])
    folder = cache / "mmdcls" / "wheels" / built_against() / requirement.replace("==", "-")
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if wheel := whole_wheel(folder):
            return wheel
        print(f"compiling the ops of {requirement}: about 8 minutes on 2 cores, once")
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            jobs = os.environ.get("MAX_JOBS", str(os.cpu_count()))
            options = ["--no-build-isolation", "--no-deps", "-w", scratch]
            pip("wheel", *options, requirement, MMCV_WITH_OPS="1", MAX_JOBS=jobs)
            # Moved into place whole, so that an interrupted build leaves nothing behind.
            built = next(Path(scratch).glob("*.whl"))
            built.replace(folder / built.name)
    wheel = whole_wheel(folder)
    if wheel is None:
        sys.exit(f"{requirement} was built without its ops; see the compiler's messages above")
    return wheel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stack", choices=MMCV)
    stack = parser.parse_args().stack
    pip("install", "-q", *BUILD_NEEDS)
    wheel = mmcv_wheel(stack)
    pip("install", "-q", str(wheel))
    pip("install", "-q", "--no-build-isolation", "-e", f"{ROOT}[{stack},test,dev]")


if __name__ == "__main__":
    main()
