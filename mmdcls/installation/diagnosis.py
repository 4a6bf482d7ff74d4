"""What is broken in an installation, and the command that mends it."""

import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .environment import OPS, OTHERS, STACKS, WITH_TORCHVISION, Attempt, Environment, name_of

OLDEST_TORCH = (2, 6)


@dataclass(frozen=True)
class Problem:
    sentence: str
    command: str


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


def install(*requirements: str) -> str:
    """mmcv is compiled against the torch that is there, and never taken from pip's cache."""
    quoted = [f'"{name}"' if re.search("[<>]", name) else name for name in requirements]
    mmcv = [name for name in quoted if "mmcv" in name]
    others = [name for name in quoted if name not in mmcv]
    steps = [f"pip install {' '.join(others)}"] if others else []
    if mmcv:
        steps.append('pip install "setuptools<82" wheel ninja')
        steps.append(f"pip install --no-build-isolation --no-cache-dir {mmcv[0]}")
    return " && ".join(steps)


def replace(installed: Sequence[str], *requirements: str) -> str:
    return f"pip uninstall -y {' '.join(installed)} && {install(*requirements)}"


def compile_ops(environment: Environment) -> str:
    requirement = environment.requirement("mmcv")
    return replace([name_of(requirement)], requirement)


def both_stacks(environment: Environment) -> Problem | None:
    if len(environment.stacks) < 2:
        return None
    names = [name for found in environment.stacks.values() for name in found]
    return Problem(
        f"The two stacks overwrite each other's files, and both are installed: {', '.join(names)}.",
        replace(names, *STACKS["OpenMMLab"].values()),
    )


def word_segmenter(environment: Environment) -> Problem | None:
    if "mmseg" not in environment.distributions:
        return None
    return Problem(
        "The installed package mmseg is a Chinese word segmenter; MMSegmentation has another name.",
        replace(
            ["mmseg"], f"--force-reinstall --no-deps {name_of(environment.requirement('mmseg'))}"
        ),
    )


def mmcv_lite(environment: Environment) -> Problem | None:
    if "mmcv-lite" not in environment.distributions:
        return None
    return Problem(
        "mmcv-lite has none of mmcv's ops.",
        replace(
            ["mmcv-lite", name_of(environment.requirement("mmcv"))], environment.requirement("mmcv")
        ),
    )


def old_torch(environment: Environment) -> Problem | None:
    version = environment.version("torch")
    if not version or numbers(version) >= OLDEST_TORCH:
        return None
    return Problem(
        f"torch {version} is too old; 2.6 or newer is needed.",
        f"{install(OTHERS['torch'])} && {compile_ops(environment)}",
    )


def ops_without_cuda(environment: Environment) -> Problem | None:
    device = environment.attempts.get("torch", Attempt()).device
    if not device or environment.attempts.get(OPS, Attempt()).cuda != "not available":
        return None
    return Problem(
        f"mmcv's ops were compiled without CUDA and do not run on the {device}.",
        f"export FORCE_CUDA=1 && {compile_ops(environment)}",
    )


CHECKS = dict(
    both_stacks=both_stacks,
    word_segmenter=word_segmenter,
    mmcv_lite=mmcv_lite,
    old_torch=old_torch,
    ops_without_cuda=ops_without_cuda,
)


def no_ops(environment: Environment, module: str, found: re.Match) -> Problem | None:
    if "mmcv-lite" in environment.distributions:
        return None
    return Problem("mmcv was installed without its ops.", compile_ops(environment))


def other_torch(environment: Environment, module: str, found: re.Match) -> Problem:
    return Problem(
        f"mmcv's ops were compiled for another torch than {environment.version('torch')} "
        f"({found[0]}).",
        compile_ops(environment),
    )


def other_mmcv(environment: Environment, module: str, found: re.Match) -> Problem:
    wanted = environment.requirement(found[1].lower())
    return Problem(
        f"{found[1].lower()} {found[2]} does not fit mmdet and mmseg, which take {wanted}.",
        replace([name_of(wanted)], wanted),
    )


def no_pkg_resources(environment: Environment, module: str, found: re.Match) -> Problem:
    version = environment.distributions.get("setuptools")
    return Problem(
        "mmengine imports pkg_resources, which setuptools 82 removed; "
        + (f"setuptools {version} is installed." if version else "setuptools is not installed."),
        'pip install "setuptools<82"',
    )


def other_torchvision(environment: Environment, module: str, found: re.Match) -> Problem:
    error, torch = environment.attempts["torchvision"].error, environment.version("torch")
    cuda = environment.attempts["torch"].cuda
    text = (
        f"torchvision {environment.version('torchvision')} does not load beside torch {torch} "
        f"({error})"
    )
    needing = [name for name in WITH_TORCHVISION if name in environment.distributions]
    if not needing:
        return Problem(
            f"{text}; of this stack only timm and mmpretrain need it, and then the build for the "
            f"same torch.",
            "pip uninstall -y torchvision",
        )
    return Problem(
        f"{text}, nor do {' and '.join(needing)}, which import it, and mmseg, which imports timm "
        f"where it is; they need the build for the same torch ({build_of(cuda)}), from the index "
        f"that such a torch comes from, or to be uninstalled with it.",
        torchvision_for(torch),
    )


def build_of(cuda: str) -> str:
    return f"cu{cuda.replace('.', '')}" if cuda else "cpu"


def torchvision_for(torch: str) -> str:
    """The command that installs the version for a torch: 0.28 came with torch 2.13, and so on."""
    major, minor = numbers(torch)
    version = f'"torchvision==0.{minor + 15}.*"' if major == 2 else "torchvision"
    return f"pip install --force-reinstall --no-deps {version} --index-url INDEX_OF_YOUR_TORCH"


def missing(environment: Environment, module: str, found: re.Match) -> Problem:
    asker = dict(ftfy="mmseg", regex="mmseg").get(module, module.partition(".")[0])
    needed = "" if asker == found[1] else f", and {asker} needs it"
    return Problem(
        f"{found[1]} is not installed{needed}.", install(environment.requirement(found[1]))
    )


def other_numpy(environment: Environment, module: str, found: re.Match) -> Problem:
    culprit = environment.attempts[module].culprit
    requirement = environment.requirement(culprit)
    return Problem(
        f"{culprit} was compiled for another numpy than {environment.version('numpy')} "
        f"({found[0]}).",
        f"pip uninstall -y {name_of(requirement)} && {install(requirement)} --no-cache-dir",
    )


def system_library(environment: Environment, module: str, found: re.Match) -> Problem:
    culprit = environment.attempts[module].culprit
    if culprit == "cv2":
        return Problem(
            f"OpenCV looks for {found[1]}, a library for windows on a screen.",
            replace(["opencv-python"], "--force-reinstall opencv-python-headless"),
        )
    requirement = environment.requirement(culprit)
    return Problem(
        f"{culprit} looks for {found[1]}, which is not there.",
        replace([name_of(requirement)], requirement),
    )


def broken(environment: Environment, module: str, found: re.Match) -> Problem:
    culprit = environment.attempts[module].culprit
    requirement = environment.requirement(culprit)
    return Problem(
        f"{module} does not import ({found[0]}).", replace([name_of(requirement)], requirement)
    )


# What an error says -> what is wrong; the first row that matches "module: error" speaks.
FAILURES: dict[str, tuple[str, Callable[[Environment, str, re.Match], Problem | None]]] = dict(
    no_ops=(r"No module named 'mmcv\._ext'", no_ops),
    other_torch=(r"(?<=^mmcv\._ext: ).*", other_torch),
    other_mmcv=(r"(MMCV|MMEngine)==(\S+) is used but incompatible", other_mmcv),
    no_pkg_resources=(r"No module named 'pkg_resources'", no_pkg_resources),
    other_torchvision=(
        r"operator torchvision::\w+ does not exist|^torchvision: ",
        other_torchvision,
    ),
    missing=(r"No module named '(\w+)", missing),
    other_numpy=(
        r"numpy\.\w+ size changed|compiled (against|using) (ABI|API|NumPy)\b[^.;]*"
        r"|_ARRAY_API not found|numpy\S*multiarray failed to import",
        other_numpy,
    ),
    system_library=(r"(lib\S+): cannot open shared object file", system_library),
    broken=(r"(?<=: ).*", broken),
)


def problems_of(environment: Environment) -> list[Problem]:
    """Packages that are not there come last: not everybody needs all of them."""
    found, absent = [check(environment) for check in CHECKS.values()], []
    for module, attempt in environment.attempts.items():
        for pattern, explain in FAILURES.values() if attempt.error else ():
            if match := re.search(pattern, f"{module}: {attempt.error}"):
                problems = absent if explain is missing else found
                problems.append(explain(environment, module, match))
                break
    return list(dict.fromkeys(problem for problem in (*found, *absent) if problem))


def versions_of(environment: Environment) -> dict[str, str]:
    torch = environment.attempts.get("torch", Attempt())
    ops = environment.attempts.get(OPS)
    built = f"built for CUDA {torch.cuda}, " if torch.cuda else ""
    device = torch.device or "no GPU seen"
    versions = {
        "Python": platform.python_version(),
        "torch": environment.version("torch"),
        "CUDA": built + device,
        "numpy": environment.version("numpy"),
        "stack": " and ".join(environment.stacks),
    }
    versions |= {module: environment.version(module) for module in STACKS["OpenMMLab"]}
    if versions["mmcv"]:
        there = ops is not None and not ops.error
        versions["mmcv"] += ", its ops are there" if there else ", without working ops"
    return {name: version or "not installed" for name, version in versions.items()}


def report(environment: Environment, problems: Sequence[Problem]) -> str:
    lines = [f"{name:10}{version}" for name, version in versions_of(environment).items()]
    if not environment.stacks:
        lines += ["", "Configs need OpenMMLab; mmdcls.dcls and mmdcls.timm need nothing of it."]
    lines += [""] if problems else ["", "No problem found."]
    for problem in problems:
        lines += [problem.sentence, f"    {problem.command}"]
    return "\n".join(lines) + "\n"
