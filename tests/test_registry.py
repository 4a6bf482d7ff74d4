"""`type="mmdcls.X"` is all a config needs."""

import subprocess
import sys

import pytest

BUILD = """
import {package}.registry
from mmengine.registry import DefaultScope, HOOKS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import WEIGHT_INITIALIZERS
DefaultScope.get_instance("test", scope_name="{package}")
assert "mmdcls" not in sys.modules
arch = dict(depths=(1, 1, 1, 1), channels=(8, 8, 8, 8))
cfg = dict(type="mmdcls.DclsConvNeXt", arch=arch, kernel_size=5, kernel_count=3)
registry = {package}.registry.MODELS
print(type(registry.build(cfg)).__name__)
print(type({package}.registry.HOOKS.build(dict(type="mmdcls.ClampPositions"))).__name__)
assert OPTIM_WRAPPER_CONSTRUCTORS.get("mmdcls.DclsOptimWrapperConstructor")
assert WEIGHT_INITIALIZERS.get("mmdcls.Pretrained")
assert "mmpretrain" not in sys.modules
"""


@pytest.mark.slow
@pytest.mark.parametrize("package", ["mmengine", "mmseg", "mmdet"])
def test_types_resolve_from_every_scope_with_nothing_imported(package):
    script = "import sys\n" + BUILD.format(package=package)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # The onedl forks print between these what they could not import.
    assert {"DclsConvNeXt", "ClampPositions"} <= set(done.stdout.split())
