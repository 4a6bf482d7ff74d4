"""What cannot be deployed or predicted gets one sentence, and leaves nothing behind."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from helpers import synthetic
from helpers.catalogue import leaf_of, load
from helpers.untrained import Files, write_untrained
from mmdcls import commands
from mmdcls.deploy import deployment as deploy


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Files:
    leaf = leaf_of("upernet", "tiny_")
    options = synthetic.quarter_size(load(leaf))
    return write_untrained(leaf, tmp_path_factory.mktemp("segmentor"), options)


def refusal_of(command, *arguments) -> str:
    with pytest.raises(SystemExit) as stopped:
        commands.main([command, *(str(argument) for argument in arguments)])
    sentence = str(stopped.value)
    assert sentence.count("\n") == 0 and sentence.endswith(".")
    return sentence


class Runs:
    def __reduce__(self):
        return print, ("run on load",)


def other_weights(files: Files, path: Path, change) -> Path:
    content = torch.load(files.checkpoint, weights_only=True)
    change(content["state_dict"])
    torch.save(content, path)
    return path


@pytest.mark.parametrize("command", ["deploy", "predict"])
def test_configs_and_checkpoints_that_do_not_serve(command, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = tmp_path / "image.png"
    cv2.imwrite(str(image), np.zeros((64, 64, 3), np.uint8))
    last = "out" if command == "deploy" else image

    def refused(checkpoint, config=files.config) -> str:
        return refusal_of(command, config, checkpoint, last)

    assert "no config absent.py" in refused(files.checkpoint, "absent.py")
    assert "absent.pth is not there" in refused("absent.pth")
    (tmp_path / "text.pth").write_text("text")
    assert "no checkpoint of torch" in refused("text.pth")
    torch.save(dict(state_dict=Runs()), "code.pth")
    assert "holds more than weights" in refused("code.pth")
    torch.save(dict(state_dict={"conv1.weight": torch.zeros(1)}), "other.pth")
    assert "another model" in refused("other.pth")
    less = other_weights(files, tmp_path / "less.pth", lambda s: s.pop("decode_head.conv_seg.bias"))
    assert "decode_head.conv_seg.bias is not there" in refused(less)
    more = other_weights(files, tmp_path / "more.pth", lambda s: s.update(neck=torch.zeros(1)))
    assert "1 tensors that the config has no place for (neck)" in refused(more)
    assert not (tmp_path / "out").exists() and not (tmp_path / "predictions").exists()


def test_a_network_that_would_come_out_different_is_not_written(files, tmp_path, monkeypatch):
    right = deploy.merged

    def wrong(model):
        plain = right(model)
        plain.backbone.stages[2][0].dwconv.weight.data.mul_(2)
        return plain

    monkeypatch.setattr(deploy, "merged", wrong)
    sentence = refusal_of("deploy", *files, tmp_path / "out")
    assert "plain convolutions differs from the model by" in sentence
    assert list(tmp_path.iterdir()) == []


def test_onnx_without_its_packages(files, tmp_path, monkeypatch):
    monkeypatch.setattr(deploy, "ONNX_PACKAGES", ("onnx_that_nobody_has",))
    assert "install mmdcls[deploy]" in refusal_of("deploy", *files, tmp_path / "out")


def test_predictions_are_never_written_over_the_images(files, tmp_path):
    image = tmp_path / "a.png"
    cv2.imwrite(str(image), np.zeros((64, 64, 3), np.uint8))
    before = image.read_bytes()
    assert "written over an image" in refusal_of("predict", *files, image, "--out", tmp_path)
    assert image.read_bytes() == before


def test_layouts_of_others_are_sent_to_convert(files, tmp_path):
    theirs = str(tmp_path / "theirs.pth")
    options = ["--config", str(files.config), "--to", "published"]
    commands.main(["convert", str(files.checkpoint), theirs, *options])
    sentence = refusal_of("deploy", files.config, theirs, tmp_path / "out")
    assert f"mmdcls convert {theirs} NEW_FILE --config {files.config}" in sentence


def test_weights_that_are_not_finite_are_named(files, tmp_path):
    name = "decode_head.conv_seg.bias"
    spoilt = other_weights(files, tmp_path / "nan.pth", lambda state: state[name].fill_(math.nan))
    sentence = refusal_of("deploy", files.config, spoilt, tmp_path / "out")
    assert f"NaN or infinity ({name})" in sentence


@pytest.mark.parametrize("size", [("0", "64"), ("1", "1")])
def test_a_size_that_the_network_does_not_take_is_refused(files, tmp_path, size):
    assert "takes no such images" in refusal_of("deploy", *files, tmp_path / "out", "--size", *size)


@pytest.mark.parametrize("content", ["model = [", "lr = 1", None])
def test_a_file_that_is_no_config_is_named(files, tmp_path, content):
    config = tmp_path / ("config.py" if content else "config.pth")
    config.write_text(content or "")
    assert str(config) in refusal_of("deploy", config, files.checkpoint, tmp_path / "out")


def test_images_that_are_not_there_or_cannot_be_read(files, tmp_path):
    def refused(*paths) -> str:
        return refusal_of("predict", *files, *paths, "--out", tmp_path / "out")

    assert "no image or folder" in refused(tmp_path / "absent.jpg")
    (tmp_path / "empty").mkdir()
    assert "is no image" in refused(tmp_path / "empty")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    assert "broken.jpg cannot be read" in refused(tmp_path / "broken.jpg")
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "a.png"), np.zeros((8, 8, 3), np.uint8))
    assert "both be written as a" in refused(tmp_path / "one", tmp_path / "two")
    assert "--device none" in refused(tmp_path / "one", "--device", "none")
    assert not (tmp_path / "out").exists()
