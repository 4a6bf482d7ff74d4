"""DCLS for OpenMMLab. Configs name its parts as `mmdcls.X`; nothing needs to be imported."""

from importlib.util import find_spec

__version__ = "0.1.0"

# The layers in mmdcls.dcls serve without OpenMMLab; only with it are there checkpoints to load.
if find_spec("mmengine") is not None:
    try:
        from .safe_loading import allow_runner_checkpoints

        allow_runner_checkpoints()
    except Exception:  # an mmengine that does not import, whatever it raises: see `mmdcls doctor`
        pass
