"""The room of the maths needs PyTorch and nothing else."""

import subprocess
import sys

import mmdcls.dcls

SCRIPT = """
import sys

BLOCKED = {"mmengine", "mmcv", "mmdet", "mmseg", "mmpretrain", "numpy", "DCLS", "triton"}
BLOCKED |= {"matplotlib", "sklearn"}


class Wall:
    # Finds what the other finders find, but for the blocked packages.
    def __init__(self, finders):
        self.finders = finders

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            return None
        found = (finder.find_spec(name, path, target) for finder in self.finders)
        return next((spec for spec in found if spec is not None), None)


sys.meta_path[:] = [Wall(list(sys.meta_path))]
for name in BLOCKED:
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"the wall does not hold {name}")

import torch

import mmdcls.dcls

for axes, layer_class in enumerate((mmdcls.dcls.Dcls1d, mmdcls.dcls.Dcls2d, mmdcls.dcls.Dcls3d), 1):
    for interpolation in mmdcls.dcls.INTERPOLATIONS:
        layer = layer_class(2, 2, 3, groups=2, kernel_count=2, interpolation=interpolation)
        layer(torch.randn(1, 2, *(5,) * axes)).sum().backward()
        layer.eval().to_conv()
        with torch.no_grad():
            layer(torch.randn(1, 2, *(5,) * axes))
# One step of the whole method.
model, rates = torch.nn.Sequential(layer), [1.0, 0.5]
start = mmdcls.dcls.start_positions(model)
groups = mmdcls.dcls.parameter_groups(model, 0.1, 0.1, position_travel=1.0, schedule=rates)
optimizer = torch.optim.Adam(groups)
mmdcls.dcls.anneal_width_(model, 0.5, 2.0, 1.0)
(model.train()(torch.randn(1, 2, 5, 5, 5)).sum() + mmdcls.dcls.repulsion_loss(model)).backward()
optimizer.step()
mmdcls.dcls.clamp_model_(model)
with torch.no_grad(), mmdcls.dcls.rounded(model.eval()):
    model(torch.randn(1, 2, 5, 5, 5))
figures = mmdcls.dcls.position_figures(model, start)
mmdcls.dcls.figures_table(figures) + mmdcls.dcls.group_table(groups)
mmdcls.dcls.position_warnings(model, figures)
print("ran", len(mmdcls.dcls.INTERPOLATIONS))
"""


def test_the_room_runs_with_every_openmmlab_package_blocked():
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == f"ran {len(mmdcls.dcls.INTERPOLATIONS)}"


def test_the_room_exports_its_public_names():
    for name in mmdcls.dcls.__all__:
        assert getattr(mmdcls.dcls, name) is not None
    names = {"Dcls1d", "Dcls2d", "Dcls3d", "construct_kernel", "INTERPOLATIONS"}
    assert set(mmdcls.dcls.__all__) >= names
