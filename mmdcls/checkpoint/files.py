"""Checkpoint files, local or behind a URL, read without running anything that is in them."""

import argparse
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten

import torch

from mmdcls.errors import InputError

from .checksum import check_sha256
from .download import fetch

# How files of torch begin: a zip file, and before torch 1.6 a pickle.
ZIP, PICKLE = b"PK\x03\x04", b"\x80"
CODE = re.compile(r"GLOBAL ([\w.]+)")


class Unreadable(ValueError):
    """Says what is wrong with a file, as in "is empty"; advice says what to do."""

    def __init__(self, fault: str, advice: str = "download or copy it again") -> None:
        super().__init__(fault)
        self.advice = advice


def read_checkpoint(location: str | Path, sha256: str | None = None) -> Mapping:
    """The content of a file of torch.save or of safetensors, on the CPU.

    location: a path, or a URL of http or https, which is downloaded once and kept.
    sha256: what the file's checksum must be.

    Raises InputError for a file that is not there, is damaged, has another checksum, or needs code
    to be run.
    """
    return read_file(local_file(location, sha256))


def local_file(location: str | Path, sha256: str | None = None) -> Path:
    """The path, or what is behind the URL; raises InputError where it is not there."""
    if str(location).startswith(("http://", "https://")):
        return fetch(str(location), sha256, check=read_file)
    path = Path(location).expanduser()
    if not path.is_file():
        raise InputError(f"The checkpoint {path} is not there: give a file or a URL.")
    check_sha256(path, sha256, path)
    return path


def read_file(path: Path) -> Mapping:
    with naming(path):
        return read_either(path)


def read_either(path: str | Path) -> Mapping:
    """What a file of safetensors or of torch.save holds. Raises Unreadable."""
    return read_safetensors(path) if is_safetensors(path) else read_torch(path)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Raise Unreadable as InputError with the name of the file."""
    try:
        yield
    except Unreadable as error:
        raise InputError(f"The checkpoint {path} {error}: {error.advice}.") from error


def is_safetensors(path: str | Path) -> bool:
    """Eight bytes of length, then JSON."""
    with open(path, "rb") as file:
        return file.read(9)[8:] == b"{"


def read_torch(path: str | Path) -> Mapping:
    """What torch.save wrote; tensors of a zip file are read when they are used.

    Raises Unreadable.
    """
    if not os.path.isfile(path):
        raise Unreadable("is not there")
    if is_safetensors(path):
        raise Unreadable(
            "is of safetensors, which has weights alone and nothing to resume a run from",
            "give a checkpoint that a Runner wrote",
        )
    with open(path, "rb") as file:
        start = file.read(4)
    is_zip = zipfile.is_zipfile(path)
    if not start:
        raise Unreadable("is empty")
    if str(path).endswith(".safetensors"):  # which torch goes by
        raise Unreadable("is named as safetensors and is none", "give it the suffix .pth")
    if not is_zip and start == ZIP:
        raise Unreadable("is only a part of a checkpoint")
    if not is_zip and start[:1] != PICKLE:
        raise Unreadable("is no checkpoint of torch")
    if is_zip and (part := damaged_part(path)):
        raise Unreadable(f"is damaged ({part})")
    try:
        # The published trainers keep their arguments beside the weights; a Namespace holds values
        # and runs nothing.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    # A damaged file, or one with code in it, makes torch raise almost anything.
    except Exception as error:
        raise fault_of(error) from error
    weights = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if not isinstance(weights, Mapping):
        raise Unreadable(f"holds a {type(weights).__name__} and no weights", "give another file")
    return content


def damaged_part(path: str | Path) -> str | None:
    """The first part of a zip file whose checksum is wrong; torch does not look."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except zipfile.BadZipFile as error:
        return str(error)


def fault_of(error: Exception) -> Unreadable:
    text = " ".join(str(error).split())
    if code := CODE.search(text):
        return Unreadable(
            f"holds more than weights ({code[1]}), and to read it would run code of whoever wrote "
            f"it",
            "have its state_dict alone saved, where the file is trusted",
        )
    # torch explains its rules before it says what it met.
    reason = text.rpartition("WeightsUnpickler error: ")[2]
    reason = shorten(reason, 80, placeholder=" ...") or type(error).__name__
    return Unreadable(f"is no checkpoint of torch, or a damaged one ({reason})")


def read_safetensors(path: str | Path) -> Mapping:
    """The tensors; of files by tools/publish_models.py a checkpoint, which names the classes."""
    try:
        from safetensors import SafetensorError, safe_open
        from safetensors.torch import load_file
    except ImportError as error:
        raise Unreadable("is of safetensors", "pip install safetensors") from error
    try:
        weights = load_file(path)
        with safe_open(path, framework="pt") as file:
            says = json.loads((file.metadata() or {}).get("mmdcls", "{}"))
    except (SafetensorError, ValueError) as error:
        raise Unreadable(f"is damaged ({error})") from error
    if "dataset_meta" not in says:
        return weights
    return dict(state_dict=weights, meta=dict(dataset_meta=says["dataset_meta"]))
