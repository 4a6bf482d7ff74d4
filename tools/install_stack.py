"""Install mmdcls with one of its two stacks into the environment of the Python that runs this.

    python tools/install_stack.py openmmlab    (or: onedl)

mmcv is on the package index as source only, and compiling its ops takes minutes. The wheel is
therefore kept in the user's cache, in a folder named after everything it was built against.
"""

import argparse
import contextlib
import fcntl
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MMCV = dict(openmmlab="mmcv", onedl="onedl-mmcv")
# What mmcv's setup.py imports, so its build must see this environment.
BUILD_NEEDS = ["torch", "numpy", "setuptools", "wheel", "ninja"]
OPS = Path("mmcv", "ops", "csrc", "pytorch")
# Of the ops' sources for CPUs, those that define names which others of them define as well.
APART = ("psamask.cpp", "roi_align.cpp", "roi_align_rotated.cpp", "rotated_feature_align.cpp")


def pip(*arguments: str, **environment: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    command += ["-c", str(ROOT / "constraints.txt")]
    subprocess.run(command, check=True, env={**os.environ, **environment})


def torch_and_ops() -> tuple[str, str]:
    """The version of torch, and what the ops are compiled for: "cpu", or a version of CUDA."""
    report = "import torch; print(torch.__version__, torch.cuda.is_available(), torch.version.cuda)"
    command = [sys.executable, "-c", report]
    torch, sees_gpu, cuda = subprocess.check_output(command, text=True).split()
    with_cuda = sees_gpu == "True" or os.environ.get("FORCE_CUDA") == "1"
    return torch, f"cuda{cuda}" if with_cuda else "cpu"


def built_against(torch: str, ops: str) -> str:
    """Names torch, its CUDA, Python and platform: a wheel serves only where all are the same."""
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


def unpacked(requirement: str, folder: Path) -> Path:
    options = ["-q", "--no-build-isolation", "--no-deps", "--no-binary", ":all:", "-d", str(folder)]
    pip("download", *options, requirement)
    shutil.unpack_archive(next(folder.glob("*.tar.gz")), folder)
    return next(path for path in folder.iterdir() if path.is_dir())


def unite(tree: Path) -> None:
    """Makes a few sources of the many, most of whose time goes to reading torch's headers."""
    for folder, apart in ((tree / OPS, ()), (tree / OPS / "cpu", APART)):
        sources = [path for path in sorted(folder.glob("*.cpp")) if path.name not in apart]
        included = [path.rename(path.with_suffix(".inl")).name for path in sources]
        (folder / "united.cpp").write_text("".join(f'#include "{name}"\n' for name in included))


@contextlib.contextmanager
def told(tree: Path, ops: str) -> Iterator[None]:
    """Print how many sources are compiled, as they are."""
    kinds = ("*.cpp", "cpu/*.cpp") + (() if ops == "cpu" else ("cuda/*.cpp", "cuda/*.cu"))
    total = sum(len(list((tree / OPS).glob(kind))) for kind in kinds)
    over = threading.Event()

    def tell() -> None:
        known = -1
        while not over.wait(1):
            done = len(list(tree.glob("build/**/*.o")))
            if done != known:
                print(f"sources of mmcv's ops that are compiled: {done} of {total}", flush=True)
            known = done

    teller = threading.Thread(target=tell)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def build(requirement: str, folder: Path, ops: str, united: bool) -> Path:
    """The wheel of mmcv with its ops, made in the folder."""
    tree = unpacked(requirement, folder)
    if united:
        unite(tree)
    jobs = os.environ.get("MAX_JOBS", str(os.cpu_count()))
    options = ["-q", "--no-build-isolation", "--no-deps", "-w", str(folder)]
    with told(tree, ops):
        pip("wheel", *options, str(tree), MMCV_WITH_OPS="1", MAX_JOBS=jobs)
    return next(folder.glob("*.whl"))


def mmcv_wheel(stack: str) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    requirement = pinned(MMCV[stack])
    torch, ops = torch_and_ops()
    built_for = built_against(torch, ops)
    folder = cache / "mmdcls" / "wheels" / built_for / requirement.replace("==", "-")
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if wheel := whole_wheel(folder):
            return wheel
        print(f"compiling the ops of {requirement}, once", flush=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            try:
                # With CUDA and on a Mac there are further sources, which nobody has united.
                united = ops == "cpu" and sys.platform == "linux"
                built = build(requirement, Path(scratch, "united"), ops, united)
            except subprocess.CalledProcessError:
                if not united:
                    raise
                print("once more, each source by itself, which takes minutes", flush=True)
                built = build(requirement, Path(scratch, "apart"), ops, united=False)
            # Moved into place whole, so that an interrupted build leaves nothing behind.
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
