"""`mmdcls.Pretrained` within a Runner, our own checkpoints, and layers in other networks."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from helpers.provocations import build_model, new_trial
from helpers.published_convnext import ours, peers, published, randomised, saved
from mmdcls.checkpoint.load import Reading, load_into
from mmdcls.dcls import Dcls2d
from mmdcls.errors import InputError


def parameters_of(checkpoint: dict, prefix: str = "") -> dict:
    """Without what batch norms count while they train."""
    return {
        name.removeprefix(prefix): value
        for name, value in checkpoint["state_dict"].items()
        if name.startswith(prefix) and not name.endswith(("mean", "var", "tracked"))
    }


def assert_same(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


def read(path: Path) -> dict:
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("whole", [False, True], ids=["backbone", "whole"])
@pytest.mark.parametrize("task", ["seg", "det"])
def test_a_runner_starts_from_it_after_every_other_initialisation(task, whole, tmp_path):
    trial = new_trial(task, tmp_path)
    state = build_model(trial).state_dict()
    generator = torch.Generator().manual_seed(1)
    for value in state.values():
        if value.is_floating_point():
            value.copy_(torch.randn(value.shape, generator=generator).abs())
    file = saved(dict(state_dict=state), tmp_path)
    owner = trial.cfg.model if whole else trial.cfg.model.backbone
    owner.init_cfg = dict(type="mmdcls.Pretrained", checkpoint=file)
    trial.cfg.optim_wrapper.optimizer.lr = 0.0
    trial.run("train")
    prefix = "" if whole else "backbone."
    trained = parameters_of(read(trial.work_dir / "iter_1.pth"), prefix)
    assert_same(trained, parameters_of(dict(state_dict=state), prefix))


def test_a_run_with_a_file_that_does_not_fit_ends_with_the_sentence(tmp_path):
    trial = new_trial("seg", tmp_path)
    file = saved(dict(model=published("bilinear").state_dict()), tmp_path)
    trial.cfg.model.backbone.init_cfg = dict(type="mmdcls.Pretrained", checkpoint=file)
    sentence = trial.refusal("train")
    assert "does not fit the model" in sentence and "\n" not in sentence
    assert not trial.work_dir.exists()


def test_of_a_run_that_averages_the_average_is_loaded(tmp_path):
    trial = new_trial("seg", tmp_path)
    trial.cfg.custom_hooks = [dict(type="EMAHook", momentum=0.5)]
    trial.merge({"train_cfg.max_iters": 2, "optim_wrapper.optimizer.lr": 1.0})
    trial.run("train")
    path = trial.work_dir / "iter_2.pth"
    content = read(path)
    averaged = parameters_of(content, "backbone.")
    current = parameters_of(dict(state_dict=content["ema_state_dict"]), "module.backbone.")
    assert any(not torch.equal(value, current[name]) for name, value in averaged.items())
    for key, expected in ((None, averaged), ("ema_state_dict", current)):
        backbone = MODELS.build(trial.cfg.model.backbone)
        backbone.init_cfg = dict(type="mmdcls.Pretrained", checkpoint=str(path), key=key)
        backbone.init_weights()
        assert_same(dict(backbone.state_dict()), expected)


class Small(nn.Module):
    """A layer of PyPI's `dcls`, or of ours, under a name that no ConvNeXt has."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv1, self.fc = conv, nn.Linear(8, 2)


@pytest.mark.parametrize("interpolation", ["bilinear", "gaussian"])
def test_layers_of_other_networks_say_their_axis_order_unless_it_is_known(interpolation, tmp_path):
    version = dict(bilinear="v0", gaussian="gauss")[interpolation]
    theirs = randomised(Small(peers.published_layer(8, version, 7, 5)), 3)
    layer = Dcls2d(8, 8, 7, padding=3, groups=8, kernel_count=5, interpolation=interpolation)
    mine = Small(layer)
    content = dict(state_dict_ema=theirs.state_dict())
    x = torch.randn(1, 8, 9, 9)
    known = interpolation != "bilinear"
    if not known:
        with pytest.raises(InputError, match="height_first.*width_first"):
            load_into(mine, content, "resnet.pth")
    load_into(mine, content, "r.pth", None if known else Reading(axis_order="height_first"))
    torch.testing.assert_close(mine.conv1(x), theirs.conv1(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("order", ["height_first", "width_first"])
def test_a_resnet_whose_3x3_convolutions_are_dcls_takes_a_classifier(order, tmp_path):
    conv_cfg = dict(type="mmdcls.Dcls2d", kernel_count=5, where_kernel_size=3, dcls_kernel_size=7)
    cfg = dict(type="mmdet.ResNet", depth=50, base_channels=8, stem_channels=8, conv_cfg=conv_cfg)
    state = MODELS.build(cfg).state_dict()
    theirs = {
        name.replace("positions", "P"): value.flip(0)
        if name.endswith("positions") and order == "width_first"
        else value
        for name, value in state.items()
    }
    classifier = {"fc.weight": torch.zeros(9, 9), "fc.bias": torch.zeros(9)}
    file = saved(dict(state_dict_ema={**theirs, **classifier}), tmp_path)
    pretrained = dict(type="mmdcls.Pretrained", checkpoint=file, axis_order=order)
    model = MODELS.build(dict(cfg, init_cfg=pretrained))
    model.init_weights()
    assert sum(name.endswith("positions") for name in state) == 16
    assert_same(dict(model.state_dict()), state)


@pytest.mark.parametrize("share", [True, False])
def test_our_own_files_fill_models_that_share_positions_and_that_do_not(share, tmp_path):
    first = ours(interpolation="gaussian")
    file = saved(dict(state_dict=first.state_dict()), tmp_path)
    second = ours(file, interpolation="gaussian", share_positions=share)
    x = torch.randn(1, 3, 64, 64)
    assert all(torch.equal(a, b) for a, b in zip(first(x), second(x), strict=True))


def test_positions_that_a_file_brings_are_said_to_replace_a_start_that_was_asked_for():
    elements, model = ours().state_dict(), ours(initial_spread="uniform")
    dense = {name: value for name, value in elements.items() if not name.endswith("positions")}
    dense |= {
        name: torch.randn(len(dense[name]), 1, 7, 7) for name in dense if "dwconv.wei" in name
    }
    said = [
        str(load_into(net, dict(state_dict=state), "a file"))
        for net, state in ((model, elements), (ours(), elements), (model, dense))
    ]
    found = ["initial_spread='uniform' changes nothing" in text for text in said]
    assert found == [True, False, False]


DEPTHWISE = dict(type="mmdcls.Dcls2d", kernel_count=9, where_kernel_size=3, where_depthwise=True)
# Some have ConvModules as direct children, which do not remember that they were initialised.
OTHERS = {
    "ConvModules": dict(type="mmseg.MobileNetV2", widen_factor=0.25),
    "ConvModules with DCLS": dict(type="mmseg.MobileNetV2", widen_factor=0.25, conv_cfg=DEPTHWISE),
    "ResNet": dict(type="mmdet.ResNet", depth=18, base_channels=8, stem_channels=8),
    "MSCAN": dict(
        type="mmseg.MSCAN",
        embed_dims=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        norm_cfg=dict(type="BN"),
    ),
    "neck": dict(type="mmdet.FPN", in_channels=[8, 16], out_channels=8, num_outs=3),
    "head": dict(type="mmseg.FCNHead", in_channels=8, channels=8, num_classes=3),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_the_report_calls_loaded_has_the_values_of_the_file(kind, tmp_path):
    state = MODELS.build(OTHERS[kind]).state_dict()
    for value in state.values():
        if value.is_floating_point():
            # Of positions, inside the kernel.
            value.uniform_()
    start = dict(type="mmdcls.Pretrained", checkpoint=saved(dict(state_dict=state), tmp_path))
    network = MODELS.build(dict(OTHERS[kind], init_cfg=start))
    network.init_weights()
    assert_same(dict(network.state_dict()), dict(state))


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_dense_kernels_for_layers_by_conv_cfg_start_them_or_are_refused(prefix, tmp_path):
    """mmengine's own "Pretrained" would leave every one of them random."""
    plain, dcls = OTHERS["ConvModules"], OTHERS["ConvModules with DCLS"]
    dense = MODELS.build(plain)
    state = {f"{prefix}{name}": value for name, value in dense.state_dict().items()}
    file = saved(dict(state_dict=state), tmp_path)
    stock = dict(type="Pretrained", checkpoint=file, **(dict(prefix=prefix) if prefix else {}))
    with pytest.raises(InputError, match=r"layer1.*dense kernel.*mmdcls\.Pretrained"):
        MODELS.build(dict(dcls, init_cfg=stock)).init_weights()
    network = MODELS.build(dict(dcls, init_cfg=dict(type="mmdcls.Pretrained", checkpoint=file)))
    network.init_weights()
    dense.eval()
    network.eval()
    image = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(network(image), dense(image), rtol=1e-4, atol=1e-4)
