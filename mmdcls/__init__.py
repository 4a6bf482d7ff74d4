"""DCLS for OpenMMLab. Configs name its parts as `mmdcls.X`; nothing needs to be imported."""

import os
import warnings
from importlib.util import find_spec

from mmdcls.shipped import config_path

__all__ = ["__version__", "config_path"]
__version__ = "0.1.0"

# Read when torch is loaded. Threads that wait soon give their core away; OpenMP's default, to spin,
# makes training several times slower where two programs share the cores.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# The layers in mmdcls.dcls serve without OpenMMLab; only with it are there checkpoints to load.
if find_spec("mmengine") is not None:
    try:
        from mmdcls.checkpoint.safe_loading import allow_runner_checkpoints

        allow_runner_checkpoints()
    # A broken mmengine raises anything; the layers and `mmdcls doctor` must come up beside it.
    except Exception as error:
        warnings.warn(
            f"mmengine is installed but does not import ({type(error).__name__}: {error}); only "
            f"mmdcls.dcls will work: run `mmdcls doctor`",
            stacklevel=2,
        )
