"""What is installed, and whether it imports."""

import inspect
import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from importlib import metadata

# The requirement that brings each import name.
STACKS = {
    "OpenMMLab": dict(
        mmengine="mmengine>=0.10",
        mmcv="mmcv>=2.0,<2.2",
        mmdet="mmdet>=3.3",
        mmseg="mmsegmentation>=1.2",
    ),
    "onedl": dict(
        mmengine="onedl-mmengine",
        mmcv="onedl-mmcv",
        mmdet="onedl-mmdetection",
        mmseg="onedl-mmsegmentation",
    ),
}
OTHERS = dict(torch="torch>=2.6", cv2="opencv-python", PIL="pillow", yaml="PyYAML")
OPS = "mmcv._ext"
# The modules that are tried, each with those without which trying it would tell nothing new.
NEEDS = {
    "numpy": (),
    "torch": (),
    "mmengine": ("numpy", "torch"),
    "mmcv": ("mmengine",),
    OPS: ("mmcv",),
    "mmdet": ("mmcv",),
    "mmseg": ("mmcv",),
    "pycocotools.mask": ("numpy",),
    "matplotlib": ("numpy",),
    "ftfy": (),
    "regex": (),
}
# Extras that import torchvision, by the names of their packages.
WITH_TORCHVISION = {"timm": ("torch",), "mmpretrain": ("mmcv",)}


@dataclass(frozen=True)
class Attempt:
    """What came of importing a module; error is empty where it went well."""

    version: str = ""
    error: str = ""
    culprit: str = ""  # the package in whose code the error was raised
    cuda: str = ""  # of torch and of mmcv's ops: what they were built for
    device: str = ""  # of torch: the GPU it sees


@dataclass(frozen=True)
class Environment:
    distributions: dict[str, str]  # name -> version
    attempts: dict[str, Attempt] = field(default_factory=dict)

    @property
    def stacks(self) -> dict[str, list[str]]:
        """The stacks of which something is installed, with the names of what is."""
        names = {
            stack: [name_of(wanted) for wanted in requirements.values()]
            for stack, requirements in STACKS.items()
        }
        present = {s: [name for name in names[s] if name in self.distributions] for s in names}
        return {stack: found for stack, found in present.items() if found}

    def requirement(self, module: str) -> str:
        stack = next(iter(self.stacks), "OpenMMLab")
        return (STACKS[stack] | OTHERS).get(module, module)

    def version(self, module: str) -> str:
        found = self.attempts.get(module, Attempt()).version
        return found or self.distributions.get(name_of(self.requirement(module)), "")


def name_of(requirement: str) -> str:
    return re.split("[<>=]", requirement)[0]


def probe(needs: dict[str, tuple[str, ...]]) -> None:
    """Import the modules one by one and write what comes of it, in lines of JSON.

    Its source is run in a process of its own: a module that breaks half-way, or takes the
    interpreter with it, then leaves nothing behind in ours.
    """
    import importlib.util
    import json
    import os
    import sys
    import traceback

    # What modules print, in C too, goes elsewhere.
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.stdout = sys.stderr

    def write(name: str, found: dict | None) -> None:
        output.write(json.dumps([name, found]) + "\n")
        output.flush()

    failed = set()
    for name, needed in needs.items():
        if failed.intersection(needed):
            package = name.partition(".")[0]
            if package not in failed and importlib.util.find_spec(package) is None:
                write(name, dict(error=f"ModuleNotFoundError: No module named {package!r}"))
            failed.add(name)
            continue
        write(name, None)
        found = {}
        try:
            module = importlib.import_module(name)
            found["version"] = str(getattr(module, "__version__", ""))
            if name == "torch":
                found["cuda"] = module.version.cuda or ""
                found["device"] = (
                    module.cuda.get_device_name() if module.cuda.is_available() else ""
                )
            if hasattr(module, "get_compiling_cuda_version"):
                found["cuda"] = module.get_compiling_cuda_version()
        except Exception as error:
            failed.add(name)
            frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
            raisers = [str(frame.f_globals.get("__name__")).partition(".")[0] for frame in frames]
            raisers = [x for x in raisers if x not in ("__main__", "importlib", "numpy", "None")]
            found["culprit"] = raisers[-1] if raisers else name.partition(".")[0]
            found["error"] = f"{type(error).__name__}: {error}"
        write(name, found)


def examine() -> Environment:
    distributions = {
        re.sub(r"[-_.]+", "-", found.name).lower(): found.version
        for found in metadata.distributions()
        if found.name
    }
    environment = Environment(distributions)
    needs = dict(NEEDS)
    if "torchvision" in distributions:
        needs["torchvision"] = ("torch",)
    for name, needed in WITH_TORCHVISION.items():
        if name in distributions:
            needs[name] = (*needed, *(["torchvision"] if "torchvision" in needs else []))
    if "OpenMMLab" in environment.stacks:
        needs["pkg_resources"] = ()
    # The current folder leaves the path: a checkout in it would hide what is installed.
    start = f"import sys; sys.path[:] = filter(None, sys.path); probe({needs!r})"
    code = f"{inspect.getsource(probe)}\n{start}"
    command = [sys.executable, "-W", "ignore", "-c", code]
    child = subprocess.run(command, capture_output=True, text=True)
    for line in child.stdout.splitlines():
        name, found = json.loads(line)
        died = f"the interpreter dies (exit status {child.returncode})"
        environment.attempts[name] = (
            Attempt(error=died, culprit=name.partition(".")[0])
            if found is None
            else Attempt(**found)
        )
    return environment
