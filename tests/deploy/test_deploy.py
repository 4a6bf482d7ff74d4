"""What is deployed needs nothing of ours, and computes what the model computes.

To 1e-4 in float32: a forward pass of one set of weights, in which rounding adds up to some 1e-6,
whatever the processor; no training amplifies it.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from helpers import synthetic
from helpers.catalogue import leaf_of, load
from helpers.untrained import Files, write_untrained
from helpers.without import run_without
from mmdcls.checkpoint.trained import load_trained
from mmdcls.commands import deploy as command
from mmdcls.dcls import DclsNd
from mmdcls.deploy import agreement, exporting
from mmdcls.deploy.graphs import graph_of
from mmdcls.deploy.pooling import OpenAveragePool2d

pytestmark = pytest.mark.slow

SEGMENTOR = leaf_of("upernet", "tiny_")
OURS = ("mmdcls", "mmengine", "mmcv", "mmseg", "mmdet")
# Other than the traced size, batch and height and width; odd sizes too.
SHAPES = [(1, 64, 64), (3, 97, 131), (1, 256, 65)]


@pytest.fixture(scope="module")
def segmentor(tmp_path_factory) -> Files:
    folder = tmp_path_factory.mktemp("segmentor")
    options = synthetic.quarter_size(load(SEGMENTOR))
    return write_untrained(SEGMENTOR, folder, options)


@pytest.fixture(scope="module")
def deployed(segmentor) -> Path:
    out = Path(segmentor.config).parent / "deployed"
    command.main([*segmentor, str(out)])
    return out


@pytest.fixture(scope="module")
def model(segmentor):
    trained = load_trained(*segmentor)
    return graph_of(trained.cfg, trained.model)


@torch.no_grad()
def logits_of(model: nn.Module, shape: tuple[int, int, int]) -> torch.Tensor:
    (logits,) = model(exporting.images(shape))
    return logits


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_onnx_runtime_computes_the_logits_at_any_size(deployed, model, shape):
    (found,) = exporting.run_onnx(deployed / "model.onnx")(exporting.images(shape))
    wanted = logits_of(model, shape)
    assert wanted.shape == (shape[0], 150, *shape[1:])
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


def test_the_exported_program_computes_the_logits_with_torch_alone(deployed, model, tmp_path):
    torch.save([exporting.images(shape) for shape in SHAPES], tmp_path / "images.pt")
    code = f"""
import torch
images = torch.load({str(tmp_path / "images.pt")!r}, weights_only=True)
network = torch.export.load({str(deployed / "model.pt2")!r}).module()
with torch.no_grad():
    torch.save([network(image)[0] for image in images], {str(tmp_path / "logits.pt")!r})
"""
    run_without(OURS, code)
    found = torch.load(tmp_path / "logits.pt", weights_only=True)
    wanted = [logits_of(model, shape) for shape in SHAPES]
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


def test_the_onnx_file_is_of_standard_operators_and_says_what_it_takes(deployed):
    import onnx

    content = onnx.load(deployed / "model.onnx")
    onnx.checker.check_model(content)
    assert {node.domain for node in content.graph.node} == {""}
    (taken,) = content.graph.input
    names = [dim.dim_param or dim.dim_value for dim in taken.type.tensor_type.shape.dim]
    assert (taken.name, names) == ("image", ["batch", 3, "height", "width"])
    assert [output.name for output in content.graph.output] == ["logits"]
    description = {entry.key: entry.value for entry in content.metadata_props}["description"]
    assert json.loads(description) == json.loads((deployed / "description.json").read_text())


def test_the_description_tells_input_classes_and_kernels(deployed, model):
    found = json.loads((deployed / "description.json").read_text())
    assert found["input"]["channels"] == "RGB"
    assert found["input"]["mean"] == pytest.approx([123.675, 116.28, 103.53])
    assert (len(found["classes"]), found["classes"][0]) == (150, "wall")
    # The data set's own, whatever the checkpoint says.
    assert found["palette"][1] == [180, 120, 120]
    assert found["test_cfg"]["crop_size"] == [128, 128]
    layers = [name for name, m in model.model.named_modules() if isinstance(m, DclsNd)]
    assert list(found["kernels"]) == layers != []
    for learned, plain in found["kernels"].values():
        assert learned == [17, 17]
        assert all(size < 17 for size in plain)


def test_a_given_size_is_the_only_one(segmentor, model, tmp_path):
    command.main([*segmentor, str(tmp_path), "--size", "64", "96", "--formats", "pt2"])
    assert not (tmp_path / "model.onnx").exists()
    program = torch.export.load(tmp_path / "model.pt2").module()
    (found,) = program(exporting.images((3, 64, 96)))
    torch.testing.assert_close(found, logits_of(model, (3, 64, 96)), atol=1e-4, rtol=0)
    with pytest.raises(Exception, match="64"):
        program(exporting.images((1, 96, 96)))


@pytest.mark.parametrize(
    ("leaf", "channels", "means", "order", "formats"),
    [
        (SEGMENTOR, 1, 1, "grey", ["pt2", "onnx"]),
        (SEGMENTOR, 4, 4, "as the test_pipeline loads them", ["pt2"]),
        (leaf_of("mask_rcnn", "-t_"), 4, None, "as the test_pipeline loads them", ["pt2"]),
    ],
    ids=["one", "four", "detector"],
)
def test_images_of_other_than_three_channels(leaf, channels, means, order, formats, tmp_path):
    values = dict(mean=means and [120.0] * means, std=means and [60.0] * means, bgr_to_rgb=False)
    options = {f"model.data_preprocessor.{key}": value for key, value in values.items()}
    options |= {"model.backbone.in_channels": channels, **synthetic.quarter_size(load(leaf))}
    files, out = write_untrained(leaf, tmp_path, options), tmp_path / "out"
    command.main([*files, str(out), "--size", "64", "96", "--formats", *formats])
    image = exporting.images((2, 64, 96), channels)
    model = load_trained(*files).model
    inputs = (image - 120.0) / 60.0 if means else image
    with torch.no_grad():
        if leaf == SEGMENTOR:
            wanted = [model.encode_decode(inputs, [dict(img_shape=(64, 96))])]
        else:
            wanted = list(model.extract_feat(inputs))
    found = [torch.export.load(out / "model.pt2").module()(image)]
    found += [exporting.run_onnx(out / "model.onnx")(image)] if "onnx" in formats else []
    for outputs in found:
        torch.testing.assert_close(list(outputs), wanted, atol=1e-4, rtol=0)
    description = json.loads((out / "description.json").read_text())["input"]
    assert description["shape"] == ["batch", channels, 64, 96]
    assert description["channels"] == order
    assert len(description["mean"]) == len(description["std"]) == channels


def test_what_an_earlier_deployment_left_is_replaced_and_nothing_else(segmentor, tmp_path):
    for name in ("description.json", "model.onnx", "notes.txt"):
        (tmp_path / name).write_text("earlier")
    command.main([*segmentor, str(tmp_path), "--size", "64", "64", "--formats", "pt2"])
    assert {path.name for path in tmp_path.iterdir()} == {
        "description.json",
        "model.pt2",
        "notes.txt",
    }
    (logits,) = torch.export.load(tmp_path / "model.pt2").module()(torch.zeros(1, 3, 64, 64))
    assert not logits.requires_grad


def test_of_a_detector_backbone_and_neck_are_deployed(tmp_path):
    files = write_untrained(leaf_of("mask_rcnn", "-t_"), tmp_path)
    command.main([*files, str(tmp_path / "out"), "--formats", "pt2"])
    model = load_trained(*files).model
    image = exporting.images((1, 160, 97))
    found = torch.export.load(tmp_path / "out/model.pt2").module()(image)
    with torch.no_grad():
        preprocessor = model.data_preprocessor
        wanted = model.extract_feat((image - preprocessor.mean) / preprocessor.std)
    assert len(found) == len(wanted) == 5
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    description = json.loads((tmp_path / "out/description.json").read_text())
    assert description["outputs"] == [f"map{index}" for index in range(5)]


@pytest.mark.parametrize("mode", ["slide", "whole"])
def test_pixels_are_compared_through_the_test_of_mmseg(segmentor, mode):
    trained = load_trained(*segmentor)
    if mode == "whole":
        trained.model.test_cfg = trained.model.test_cfg.copy() | dict(mode="whole")
    graph = graph_of(trained.cfg, trained.model)
    same = agreement.agreement(trained, graph, graph, None)
    assert same.equal == same.pixels == synthetic.IMAGES * np.prod(synthetic.IMAGE_SIZE)
    assert same.largest < 1e-4
    turned = agreement.agreement(trained, graph, lambda image: [-graph(image)[0]], None)
    assert turned.equal < turned.pixels
    assert turned.largest > 1e-2


def test_images_of_another_size_than_the_file_takes_are_named(segmentor):
    trained = load_trained(*segmentor)
    graph = graph_of(trained.cfg, trained.model)
    with pytest.raises(ValueError, match=r"0\.jpg, and the file takes \(64, 64\)"):
        agreement.agreement(trained, graph, graph, (64, 64))


@pytest.mark.parametrize("bins", [1, 2, 3, 6, (2, 5)], ids=str)
@pytest.mark.parametrize("size", [(1, 1), (4, 7), (6, 6), (13, 10)], ids=str)
def test_open_pooling_is_adaptive_pooling(bins, size):
    x = torch.randn(2, 3, *size, dtype=torch.double)
    pooled = OpenAveragePool2d((bins, bins) if isinstance(bins, int) else bins)(x)
    torch.testing.assert_close(pooled, nn.AdaptiveAvgPool2d(bins)(x))
