"""The kernels in Triton, compiled for GPUs without one: nothing spills, and loads are wide."""

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from mmdcls.dcls.conv.windows import WINDOWS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton: pip install triton"),
]
# A100, H100, RTX of the Blackwell family.
CAPABILITIES = [80, 90, 120]
# float16 compiles as bfloat16 does.
NAMES = {torch.bfloat16: "bf16", torch.float32: "fp32"}
each_capability = pytest.mark.parametrize("capability", CAPABILITIES)


def machine_code(kernel, element: str, constants: dict, capability: int, folder: Path) -> str:
    """What cuobjdump says of registers, memory and instructions; tensors are of one dtype."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    warps = constants.pop("num_warps", 4)
    constants.pop("num_stages", None)
    names = kernel.arg_names
    pointers = [name for name in names if name.islower() and name in TENSORS]
    signature = dict.fromkeys(names, "i32")
    signature |= {name: "fp32" for name in names if name.startswith("inverse")}
    signature |= dict.fromkeys(pointers, f"*{element}")
    signature |= {name: "constexpr" for name in names if name in constants}
    source = ASTSource(
        kernel,
        signature,
        {(names.index(name),): value for name, value in constants.items()},
        {(names.index(name),): [["tt.divisibility", 16]] for name in pointers},
    )
    options = dict(num_warps=warps, num_stages=1)
    compiled = triton.compile(source, GPUTarget("cuda", capability, 32), options)
    binary = folder / "kernel.cubin"
    binary.write_bytes(compiled.asm["cubin"])
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    command = [str(tool), "-res-usage", "-sass", str(binary)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout + done.stderr


# Arguments that are tensors.
TENSORS = {
    *("packed", "margined", "bias", "y", "grad", "out", "x", "weight"),
    *("positions", "sigma", "share_y", "share_x", "out_y", "out_x", "grad_y", "grad_x"),
}


def assert_nothing_spills(code: str) -> None:
    (stack,) = re.findall(r"STACK:(\d+)", code)
    (local,) = re.findall(r"LOCAL:(\d+)", code)
    # By release of Triton, two registers may not find room.
    assert int(stack) <= 16 and local == "0"


@each_capability
@pytest.mark.parametrize(
    "dtype, window", [(dtype, window) for dtype in NAMES for window in WINDOWS[dtype]], ids=str
)
def test_the_band(dtype, window, capability, tmp_path):
    from mmdcls.dcls.conv import band

    layout = dict(WINDOW=window, PRECISION=band.precision_of(dtype))
    if capability != 90 and dtype.itemsize * window > 128 and dtype == torch.float32:
        pytest.skip("spills without the tensor cores of an H100; nobody has measured it there")
    codes = []
    for group, size in band.GROUPS.values():
        rows = band.most_rows(window, size, dtype)
        constants = dict(HAS_BIAS=True, GROUP=group, B=rows, **layout)
        constants |= dict(BEFORE=band.BEFORE, LENGTH=2 * window)
        codes.append(
            machine_code(band.values_kernel, NAMES[dtype], constants, capability, tmp_path)
        )
    rows = band.GRADIENT_BYTES // dtype.itemsize
    constants = dict(GROUP=band.GRADIENT_GROUP, B=rows, **layout)
    kernel = band.kernel_gradient_kernel
    gradient = machine_code(kernel, NAMES[dtype], constants, capability, tmp_path)
    for code in (*codes, gradient):
        assert_nothing_spills(code)
        assert re.search(r"\bH?G?MMA", code)
        assert "LDG.E.128" in code
    # Of the gradient every load is wide.
    assert not re.search(r"\bLDG\.E(\.64|\.U16|\.U8)?(\.CONSTANT)? ", gradient)


@pytest.mark.parametrize("capability", CAPABILITIES[:2])
def test_float32_is_multiplied_as_three_products(capability, tmp_path):
    from mmdcls.dcls.conv import band

    constants = dict(WINDOW=32, GROUP=band.GRADIENT_GROUP, B=32)
    products = {}
    for precision in ("tf32", band.precision_of(torch.float32)):
        options = dict(constants, PRECISION=precision)
        kernel = band.kernel_gradient_kernel
        code = machine_code(kernel, "fp32", options, capability, tmp_path)
        products[precision] = len(re.findall(r"\bH?G?MMA", code))
    tf32, ours = products.values()
    assert ours == 3 * tf32 > 0


@pytest.mark.parametrize("capability", CAPABILITIES[:2])
@pytest.mark.parametrize("element", ["fp32", "fp64"])
@pytest.mark.parametrize(
    "kind, normalized", [("linear", False), ("triangle", True), ("gaussian", True)]
)
def test_shares(kind, normalized, element, capability, tmp_path):
    from mmdcls.dcls import construction_kernels as kernels

    rule = dict(KIND=kind, NORMALIZED=normalized, SUMMED=normalized, LEAST=-20.0, FLOOR=0.3)
    constants = dict(**rule, EPS=1e-7, CELLS=32, B=kernels.SHARES_BLOCK)
    for kernel in (kernels.shares_kernel, kernels.shares_gradient_kernel):
        assert_nothing_spills(machine_code(kernel, element, constants, capability, tmp_path))


@pytest.mark.parametrize("capability", CAPABILITIES[:2])
@pytest.mark.parametrize("element", ["fp32", "fp64"])
@pytest.mark.parametrize("cells", [17, 64])
def test_kernels_from_shares(cells, element, capability, tmp_path):
    from mmdcls.dcls import construction_kernels as kernels

    dtype = dict(fp32=torch.float32, fp64=torch.float64)[element]
    for gradient, kernel in enumerate((kernels.kernel_kernel, kernels.kernel_gradient_kernel)):
        constants = dict(kernels.layout(cells, cells, dtype, bool(gradient)))
        assert_nothing_spills(machine_code(kernel, element, constants, capability, tmp_path))
