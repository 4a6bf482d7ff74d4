"""What can be known of a config before a Runner is built and a work dir is made."""

import os
from collections.abc import Sequence

import torch
from mmengine.config import Config

from mmdcls.checkpoint.files import Unreadable, read_either, read_torch
from mmdcls.config import check_scopes, nodes
from mmdcls.data.paths import check_path, check_paths
from mmdcls.errors import InputError


def check_config(cfg: Config, splits: Sequence[str] = ("train", "val")) -> None:
    """Raise InputError for names without their scope and for files that are not there.

    splits: the data loaders that will be used, of "train", "val" and "test".
    """
    check_scopes(cfg)
    if "train" in splits:
        check_precision(cfg)
    check_paths(cfg, splits)
    # As the person gave it: to a test it is an argument.
    is_test, resumes = "test" in splits, cfg.get("resume")
    given_as = "checkpoint" if is_test else "--resume" if resumes else "load_from"
    check_checkpoint(given_as, cfg.get("load_from"), whole=bool(resumes) and not is_test)
    for path, node in nodes("model", cfg.get("model")):
        if node.get("type") in ("Pretrained", "mmengine.Pretrained"):
            check_checkpoint(f"{path}.checkpoint", node.get("checkpoint"))


def check_precision(cfg: Config) -> None:
    wrapper = cfg.get("optim_wrapper") or {}
    kind = wrapper.get("type")
    if kind != "AmpOptimWrapper" or torch.accelerator.is_available():
        return
    own = [name for name in ("loss_scale", "dtype", "use_fsdp") if name in wrapper]
    without = f" and take {', '.join(own)} out of the config" if own else ""
    bfloat16 = ", or optim_wrapper.type=mmdcls.AmpOptimWrapper for bfloat16"
    raise InputError(
        f"optim_wrapper.type={kind!r} trains on GPUs only; on this machine give --cfg-options "
        f"optim_wrapper.type=OptimWrapper{without}"
        f"{bfloat16 if cfg.get('default_scope') == 'mmseg' else ''}."
    )


def check_checkpoint(where: str, value: str | None, whole: bool = False) -> None:
    """whole: that weights alone, of safetensors, do not serve."""
    if value == "":
        raise InputError(f"{where}='' names no file; name a checkpoint, or leave it out.")
    check_path(where, value, os.path.isfile)
    if not value or "://" in value:
        return
    try:
        read_torch(value) if whole else read_either(value)
    except Unreadable as fault:
        raise InputError(f"{where}={value!r} {fault}; {fault.advice}.") from fault
