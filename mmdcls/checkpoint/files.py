"""Checkpoint files, local or behind a URL, read without running anything that is in them."""

import argparse
import hashlib
import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch

from mmdcls.errors import InputError

UNSUPPORTED = re.compile(r"GLOBAL (\S+)")


def read_checkpoint(location: str | Path, sha256: str | None = None) -> Mapping:
    """The content of a file of torch.save or of safetensors, on the CPU.

    location: a path, or a URL of http or https, which is downloaded once and kept.
    sha256: what the file's checksum must be.

    Raises InputError for a file that is not there, is damaged, has another checksum, or needs code
    to be run.
    """
    if str(location).startswith(("http://", "https://")):
        from .download import fetch

        return read_file(fetch(str(location), sha256, check=read_file))
    path = Path(location).expanduser()
    if not path.is_file():
        raise InputError(f"The checkpoint {path} is not there: give a file or a URL.")
    check_sha256(path, sha256, path)
    return read_file(path)


def read_file(path: Path) -> Mapping:
    with open(path, "rb") as file:
        start = file.read(9)
    # Eight bytes of length, then JSON; a file of torch.save starts with "PK" or a pickle's 0x80.
    content = read_safetensors(path) if start[8:] == b"{" else read_torch(path)
    if not isinstance(content, Mapping):
        raise InputError(f"{path} holds a {type(content).__name__}, not the weights of a model.")
    return content


def read_torch(path: Path) -> Mapping:
    try:
        # The published trainers keep their arguments beside the weights; a Namespace holds values
        # and runs nothing.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, OSError) as error:
        wanted = UNSUPPORTED.search(str(error))
        if wanted:
            raise InputError(
                f"{path} holds more than weights, {wanted[1]}, and to read it would run code of "
                f"whoever wrote it: have its state_dict alone saved, where the file is trusted."
            ) from error
        raise InputError(
            f"{path} is not a checkpoint of torch or safetensors, or is damaged: get it again."
        ) from error


def read_safetensors(path: Path) -> Mapping:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise InputError(f"{path} is of safetensors: pip install safetensors.") from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path} is damaged ({error}): get it again.") from error


def check_sha256(path: Path, expected: str | None, source: str | Path) -> None:
    """Raises InputError where the file has another checksum; the file is called by its source."""
    if expected is None:
        return
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    found = digest.hexdigest()
    if found != expected.lower():
        raise InputError(
            f"{source} has sha256 {found}, and not {expected}: it is damaged, or another file."
        )
