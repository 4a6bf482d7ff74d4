"""Where the kernels that this package has in Triton run, and what they know."""

import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import torch

from .interpolation import gaussian_share, linear_share, triangle_share

# The share functions that construction_kernels.py has too, and what it calls them.
KINDS = {linear_share: "linear", triangle_share: "triangle", gaussian_share: "gaussian"}
# The first with tl.gather.
LEAST_TRITON = (3, 3)
# The first with tensor cores for bfloat16 and tf32.
LEAST_CAPABILITY = (8, 0)


def triton_version() -> str | None:
    """Found without importing it, which takes seconds."""
    if find_spec("triton") is None:
        return None
    # Nightly builds of torch bring it under another name.
    for package in ("triton", "pytorch-triton"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None


TRITON = triton_version()
HAS_TRITON = TRITON is not None and tuple(map(int, re.findall(r"\d+", TRITON)[:2])) >= LEAST_TRITON


def triton_why_not(device: torch.device) -> str | None:
    """Why the kernels cannot run on this device, or None if they can."""
    if device.type != "cuda":
        return f"Triton's kernels are for NVIDIA GPUs, and the input is on {device}"
    if torch.version.hip is not None:
        return "Triton's kernels were measured on NVIDIA GPUs only, and this torch is for AMD's"
    if not HAS_TRITON:
        return f"they need Triton 3.3 or newer, and here is {TRITON or 'none'}: pip install triton"
    capability = capability_of(device)
    if capability < LEAST_CAPABILITY:
        return (
            f"they need a GPU of compute capability 8.0 or newer, and {device} has "
            f"{capability[0]}.{capability[1]}"
        )
    return None


def capability_of(device: torch.device) -> tuple[int, int]:
    properties = torch.cuda.get_device_properties(device)
    return properties.major, properties.minor
