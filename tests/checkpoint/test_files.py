"""Which files are read, and which are refused with a sentence."""

import hashlib
import json
import sys
from pathlib import Path

import pytest
import torch

from helpers.published_convnext import assert_same_maps, ours, published, saved
from mmdcls.checkpoint.files import read_checkpoint
from mmdcls.errors import InputError


class Runs:
    def __reduce__(self):
        return print, ("run on load",)


class Reaches:
    pass


def refusal(path: object) -> str:
    with pytest.raises(InputError) as refused:
        read_checkpoint(str(path))
    sentence = str(refused.value)
    assert str(path) in sentence and "\n" not in sentence
    return sentence


@pytest.mark.parametrize("content, named", [(Runs, "print"), (Reaches, "Reaches")])
def test_a_file_that_holds_more_than_weights_is_refused(content, named, tmp_path, capsys):
    sentence = refusal(saved(dict(weight=torch.zeros(3), more=content()), tmp_path))
    assert "more than weights" in sentence and named in sentence
    assert "run on load" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("length", "words"),
    [(0, "is empty"), (5, "only a part"), (400, "only a part"), (-30, "only a")],
)
def test_a_truncated_file_is_refused(length, words, tmp_path):
    path = tmp_path / "given.pth"
    torch.save(dict(weight=torch.zeros(1000)), path)
    path.write_bytes(path.read_bytes()[:length])
    assert ("is only a part" if length else "is empty") in refusal(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert "is not there" in refusal(tmp_path / "absent.pth")


def test_a_file_without_weights_is_refused(tmp_path):
    assert "holds a list and no weights" in refusal(saved([1, 2], tmp_path))
    with pytest.raises(InputError, match="no weights; it has epoch"):
        ours(saved(dict(epoch=3), tmp_path))
    with pytest.raises(InputError, match=r"no weights under key='ema'; it has \['epoch'\]"):
        ours(saved(dict(epoch=3), tmp_path), dict(key="ema"))


def test_the_checksum_is_asked_of_local_files(tmp_path):
    file = saved(dict(model=published("bilinear").state_dict()), tmp_path)
    right = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    ours(file, dict(sha256=right))
    with pytest.raises(InputError, match=f"sha256 {right}, and not abc"):
        ours(file, dict(sha256="abc"))


def test_safetensors_are_read(tmp_path):
    torch_files = pytest.importorskip("safetensors.torch")
    theirs = published("gaussian")
    # They refuse tensors that share memory, as the positions of a stage do.
    state = {name: value.clone() for name, value in theirs.state_dict().items()}
    torch_files.save_file(state, tmp_path / "given.safetensors")
    assert_same_maps(ours(str(tmp_path / "given.safetensors"), interpolation="gaussian"), theirs)
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "given.safetensors").read_bytes()[:5000])
    assert "damaged" in refusal(tmp_path / "cut.safetensors")


def test_safetensors_that_say_their_classes_are_read_as_a_checkpoint_that_does(tmp_path):
    torch_files = pytest.importorskip("safetensors.torch")
    weights, says = dict(weight=torch.ones(2)), dict(classes=["cell", "nucleus"])
    path = tmp_path / "given.safetensors"
    torch_files.save_file(weights, path, dict(mmdcls=json.dumps(dict(dataset_meta=says))))
    content = read_checkpoint(path)
    assert content["meta"]["dataset_meta"] == says
    assert torch.equal(content["state_dict"]["weight"], weights["weight"])
    torch_files.save_file(weights, path, dict(mmdcls="{"))
    assert "is damaged" in refusal(path)


def test_safetensors_without_their_package_say_what_to_install(tmp_path, monkeypatch):
    header = json.dumps({}).encode()
    path = tmp_path / "given.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    assert "pip install safetensors" in refusal(path)
