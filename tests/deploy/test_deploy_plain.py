"""Where mmseg, mmdet or mmpretrain have such a network, a model goes home as config and weights."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from helpers import synthetic
from helpers.catalogue import leaf_of, load, skip_without
from helpers.untrained import Files, write_model, write_untrained
from helpers.without import run_without
from mmdcls.checkpoint.trained import load_trained
from mmdcls.commands import deploy as command
from mmdcls.dcls import ElementPositions, merged
from mmdcls.deploy import deployment, exporting
from mmdcls.deploy.graphs import graph_of
from mmdcls.errors import InputError

pytestmark = pytest.mark.slow

SEGMENTOR = leaf_of("upernet", "tiny_")


def write_resnet(folder: Path, **conv_cfg) -> Files:
    """A PSPNet on a ResNet whose 3x3 convolutions are DCLS."""
    cfg = load(SEGMENTOR, {**synthetic.thin_model(load(SEGMENTOR)), "model.test_cfg.mode": "whole"})
    conv_cfg = dict(type="mmdcls.Dcls2d", kernel_count=4, where_kernel_size=3, **conv_cfg)
    norm_cfg = dict(type="BN")
    head = dict(type="PSPHead", in_channels=64, in_index=3, channels=16, num_classes=150)
    cfg.model.backbone = dict(
        type="ResNetV1c",
        depth=18,
        stem_channels=8,
        base_channels=8,
        norm_cfg=norm_cfg,
        conv_cfg=conv_cfg,
    )
    cfg.model.decode_head = dict(head, pool_scales=(1, 2), norm_cfg=norm_cfg, conv_cfg=conv_cfg)
    cfg.model.auxiliary_head = None
    return write_model(cfg, folder)


def moved(files: Files, reach: float) -> Files:
    """All elements within this many cells of the centre; no response normalisation at its start."""
    trained = torch.load(files.checkpoint, weights_only=True)
    for name, value in trained["state_dict"].items():
        if name.endswith("positions"):
            value.uniform_(-reach, reach)
        elif ".grn." in name:
            value.uniform_(-1, 1)
    torch.save(trained, files.checkpoint)
    return files


TESTS = Path(__file__).parents[1]


def assert_same_without_ours(files: Files, out: Path) -> None:
    """The plain network, built without mmdcls, gives what the model gives."""
    trained = load_trained(*files)
    image = exporting.images((2, 64, 96))
    with torch.no_grad():
        (wanted,) = graph_of(trained.cfg, trained.model)(image)
    normalized = (
        image - trained.model.data_preprocessor.mean
    ) / trained.model.data_preprocessor.std
    torch.save(normalized, out / "image.pt")
    code = f"""
import sys
sys.path.append({str(TESTS)!r})
from helpers import networks
networks.make_importable()
import torch
from mmseg.apis import init_model
model = init_model({str(out / "config.py")!r}, {str(out / "weights.pth")!r}, device="cpu")
image = torch.load({str(out / "image.pt")!r}, weights_only=True)
with torch.no_grad():
    logits = model.encode_decode(image, [dict(img_shape=image.shape[2:])])
torch.save(logits, {str(out / "logits.pt")!r})
print(len(model.dataset_meta["classes"]))
"""
    assert "150" in run_without(["mmdcls"], code)
    found = torch.load(out / "logits.pt", weights_only=True)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    assert "mmdcls" not in (out / "config.py").read_text()


@pytest.mark.parametrize("size", [None, 7])
def test_a_resnet_of_small_kernels_becomes_the_plain_resnet(size, tmp_path):
    files = moved(write_resnet(tmp_path, dcls_kernel_size=size), reach=0.9)
    command.main([*files, str(tmp_path / "out"), "--formats", "plain"])
    assert_same_without_ours(files, tmp_path / "out")


CONVERTED = {
    # The elements stand within the dense kernels.
    "ResNet": (
        dict(network="ResNetV1c", depth=18, stem_channels=8, base_channels=8),
        dict(where=r"layer.*conv\d", kernel_size=7, kernel_count=4),
        0.9,
    ),
    # These can be built with larger ones.
    "ConvNeXt of timm": (
        dict(network="TIMMBackbone", model_name="convnext_atto", pretrained=False),
        dict(where=r".*conv_dw", kernel_size=11, kernel_count=9),
        5,
    ),
    "ConvFormer of timm": (
        dict(network="TIMMBackbone", model_name="convformer_s18", pretrained=False),
        dict(where=r".*dwconv", kernel_size=9, kernel_count=9),
        4,
    ),
}


@pytest.mark.parametrize(("network", "rule", "reach"), CONVERTED.values(), ids=CONVERTED)
def test_a_converted_network_becomes_what_it_was(network, rule, reach, tmp_path):
    if "TIMM" in network["network"]:
        skip_without("timm")
    cfg = load(SEGMENTOR, {**synthetic.thin_model(load(SEGMENTOR)), "model.test_cfg.mode": "whole"})
    cfg.model.backbone = dict(type="mmdcls.Converted", **network, dcls=rule)
    channels = [m.shape[1] for m in MODELS.build(cfg.model.backbone)(torch.zeros(2, 3, 64, 64))]
    head = dict(type="FCNHead", in_channels=channels[-1], in_index=-1, channels=16, num_convs=1)
    cfg.model.decode_head = dict(head, num_classes=150, norm_cfg=dict(type="BN"))
    cfg.model.auxiliary_head = None
    files = moved(write_model(cfg, tmp_path), reach)
    command.main([*files, str(tmp_path / "out"), "--formats", "plain"])
    plain = Config.fromfile(tmp_path / "out/config.py").model.backbone
    assert plain.type == network["network"] and "dcls" not in plain
    assert_same_without_ours(files, tmp_path / "out")


def test_a_kernel_larger_than_the_plain_one_is_named(tmp_path):
    files = moved(write_resnet(tmp_path, dcls_kernel_size=7), reach=2.9)
    sentence = r"backbone\.stem\.0 needs 7 x 7 cells, and the plain .* 3 x 3"
    with pytest.raises(InputError, match=sentence):
        command.main([*files, str(tmp_path / "out"), "--formats", "plain"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "build",
    [
        dict(kernel_size=4),
        dict(kernel_size=17),
        dict(kernel_size=17, use_grn=True, layer_scale_init_value=None),
    ],
    ids=str,
)
def test_our_convnext_becomes_that_of_mmpretrain_where_7x7_suffices(build, tmp_path):
    skip_without("mmpretrain")
    options = {f"model.backbone.{key}": value for key, value in build.items()}
    options["model.test_cfg.mode"] = "whole"
    files = moved(write_untrained(SEGMENTOR, tmp_path, options), reach=1.9)
    command.main([*files, str(tmp_path / "out"), "--formats", "plain"])
    backbone = Config.fromfile(tmp_path / "out/config.py").model.backbone
    assert backbone.type == "mmpretrain.ConvNeXt"
    assert_same_without_ours(files, tmp_path / "out")


def test_without_a_plain_network_the_rest_is_written(tmp_path, monkeypatch, capsys):
    files = moved(write_untrained(SEGMENTOR, tmp_path), reach=5)
    monkeypatch.setattr(deployment, "FORMATS", {"plain": ""})
    command.main([*files, str(tmp_path / "out")])
    assert "no plain config: backbone.stages.0.0.dwconv needs " in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["description.json"]


def test_the_model_itself_is_left_as_it_was(tmp_path):
    trained = load_trained(*write_resnet(tmp_path))
    owners = [m for m in trained.model.modules() if isinstance(m, ElementPositions)]
    graph_of(trained.cfg, merged(trained.model))
    assert owners and all(owner.positions is not None for owner in owners)
