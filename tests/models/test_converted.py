"""`type="mmdcls.Converted"`: a network of others whose convolutions became DCLS layers."""

import re
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import load_checkpoint
from torch import nn

from mmdcls.checkpoint.initial_files import check_pretrained
from mmdcls.checkpoint.load import is_foreign, load_into
from mmdcls.checkpoint.trained import load_trained
from mmdcls.dcls import Dcls2d, position_owners
from mmdcls.errors import InputError
from mmdcls.models import converted as converted_network
from mmdcls.running.failures import in_a_sentence

CELLS = 9  # of a 3x3 kernel
RULE = dict(where=r"layer\d\.\d+\.conv\d", kernel_size=7, kernel_count=CELLS)
NORM = dict(type="BN")
RESNET = dict(type="ResNetV1c", depth=18, base_channels=8, stem_channels=8, norm_cfg=NORM)
HEAD = dict(type="FCNHead", in_channels=64, in_index=3, channels=8, num_classes=3, norm_cfg=NORM)
SEGMENTOR = dict(type="EncoderDecoder", backbone=RESNET, decode_head=HEAD)
IMAGE = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope("mmseg"):
        yield


def converted(network: dict, **rule) -> dict:
    """The config of a network as a child config says it."""
    return dict(network, type="mmdcls.Converted", network=network["type"], dcls=RULE | rule)


def untrained(config: dict, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = MODELS.build(config)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    model.eval()
    return model


def saved(model: nn.Module, folder: Path) -> str:
    torch.save(dict(state_dict=model.state_dict(), meta={}), folder / "weights.pth")
    return str(folder / "weights.pth")


def maps(backbone: nn.Module) -> list[torch.Tensor]:
    with torch.no_grad():
        return list(backbone(IMAGE))


def assert_same_maps(ours: nn.Module, theirs: nn.Module) -> None:
    ours.eval()
    for mine, other in zip(maps(ours), maps(theirs), strict=True):
        assert (mine - other).norm() <= 1e-5 * other.norm()


def test_a_child_config_says_only_what_it_changes(tmp_path):
    Config(dict(model=SEGMENTOR)).dump(tmp_path / "base.py")
    rule = dict(where=r"layer\d\.\d+\.conv\d", kernel_size=7, kernel_count=5, share="stage")
    (tmp_path / "child.py").write_text(
        "_base_ = 'base.py'\n"
        f"model = dict(backbone=dict(type='mmdcls.Converted', network='ResNetV1c', dcls={rule}))\n"
    )
    cfg = Config.fromfile(tmp_path / "child.py")
    assert cfg.model.backbone.base_channels == 8
    cfg.merge_from_dict({"model.backbone.depth": 34, "model.backbone.dcls.kernel_count": 4})
    layers = [m for m in MODELS.build(cfg.model).modules() if isinstance(m, Dcls2d)]
    assert len(layers) == 2 * (3 + 4 + 6 + 3)
    assert {(layer.kernel_size, layer.kernel_count) for layer in layers} == {((7, 7), 4)}


FPN = dict(type="mmdet.FPN", in_channels=[4, 8], out_channels=4, num_outs=2)
PARTS = {
    "a backbone": (RESNET, r"layer\d\.\d+\.conv\d", 16),
    "a head": (HEAD, r"convs\.\d\.conv", 2),
    "a neck": (FPN, r"fpn_convs\.\d\.conv", 2),
    "a whole model": (SEGMENTOR, r"backbone\.layer4\..*conv\d|decode_head\.convs\.0\.conv", 5),
}


@pytest.mark.parametrize("part", PARTS)
def test_it_is_the_network_itself_with_its_own_names(part):
    plain, where, count = PARTS[part]
    dense = MODELS.build(plain)
    model = MODELS.build(converted(plain, where=where))
    assert type(model) is type(dense)
    assert sum(isinstance(module, Dcls2d) for module in model.modules()) == count
    owned = {f"{name}.positions" for name in position_owners(model)}
    assert owned and set(model.state_dict()) == set(dense.state_dict()) | owned
    # With as many elements as cells the dense weights are all there.
    model.load_state_dict(dense.state_dict())


def test_several_rules_and_the_first_decides():
    rules = [dict(RULE, where=r"layer1\..*conv\d"), dict(RULE, kernel_size=5)]
    model = MODELS.build(dict(converted(RESNET), dcls=rules))
    sizes = {n: m.kernel_size[0] for n, m in model.named_modules() if isinstance(m, Dcls2d)}
    assert {size for name, size in sizes.items() if name.startswith("layer1")} == {7}
    assert {size for name, size in sizes.items() if not name.startswith("layer1")} == {5}


@pytest.mark.parametrize("kind", ["Pretrained", "mmdcls.Pretrained"])
@pytest.mark.parametrize("share", ["stage", "layer"])
def test_dense_weights_by_init_cfg_give_the_dense_maps(kind, share, tmp_path):
    theirs = untrained(RESNET)
    init_cfg = dict(type=kind, checkpoint=saved(theirs, tmp_path))
    ours = untrained(dict(converted(RESNET, share=share), init_cfg=init_cfg), seed=1)
    check_pretrained(ours)
    ours.init_weights()
    assert_same_maps(ours, theirs)


def test_a_dense_segmentor_loads_strictly_and_so_does_our_own_checkpoint(tmp_path):
    theirs = untrained(SEGMENTOR)
    ours = untrained(dict(SEGMENTOR, backbone=converted(RESNET)), seed=1)
    load_checkpoint(ours, saved(theirs, tmp_path), strict=True)
    assert_same_maps(ours.backbone, theirs.backbone)
    again = untrained(dict(SEGMENTOR, backbone=converted(RESNET)), seed=2)
    load_checkpoint(again, saved(ours, tmp_path), strict=True)
    for name, value in again.state_dict().items():
        assert torch.equal(value, ours.state_dict()[name]), name


def write_config(model: dict, folder: Path) -> str:
    Config(dict(model=model, default_scope="mmseg")).dump(folder / "config.py")
    return str(folder / "config.py")


def test_commands_take_dense_checkpoints_and_refuse_misfits(tmp_path):
    theirs = untrained(SEGMENTOR)
    config = write_config(dict(SEGMENTOR, backbone=converted(RESNET)), tmp_path)
    found = load_trained(config, saved(theirs, tmp_path)).model
    assert_same_maps(found.backbone, theirs.backbone)
    backbone = dict(RESNET, base_channels=16)
    head = dict(HEAD, in_channels=128)
    wider = untrained(dict(SEGMENTOR, backbone=backbone, decode_head=head))
    with pytest.raises(InputError, match=r"of another model: .*conv1\.weight is \(16, 8, 3, 3\)"):
        load_trained(config, saved(wider, tmp_path))


def test_pretrained_weights_of_another_network_are_refused(tmp_path):
    wider = untrained(dict(RESNET, base_channels=16))
    init_cfg = dict(type="Pretrained", checkpoint=saved(wider, tmp_path))
    with pytest.raises(InputError, match="of another model"):
        check_pretrained(MODELS.build(dict(converted(RESNET), init_cfg=init_cfg)))


def test_kernels_that_are_larger_than_the_rule_allows_are_refused(tmp_path):
    dense = untrained(RESNET).state_dict()
    is_replaced = re.compile(r"layer.*\.conv\d\.weight").fullmatch
    grown = {
        key: torch.randn(*value.shape[:2], 9, 9) if is_replaced(key) else value
        for key, value in dense.items()
    }
    torch.save(dict(state_dict=grown), tmp_path / "weights.pth")
    init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "weights.pth"))
    ours = MODELS.build(dict(converted(RESNET), init_cfg=init_cfg))
    with pytest.raises(ValueError, match=r"layer1\.0\.conv1 .*kernel_size=\(7, 7\).*\(9, 9\)"):
        ours.init_weights()
    with pytest.raises(InputError, match=r"layer1\.0\.conv1 .*kernel_size"):
        load_into(ours, dict(state_dict=grown), "weights.pth")


def test_a_network_whose_names_are_a_known_layout_is_read_as_it_is(tmp_path):
    """mmpretrain's ConvNeXt has the names from which `mmdcls.Pretrained` makes ours."""
    pytest.importorskip("mmpretrain")
    arch = dict(depths=[1, 1, 1, 1], channels=[8, 16, 24, 32])
    plain = dict(type="mmpretrain.ConvNeXt", arch=arch, out_indices=(0, 1, 2, 3))
    plain |= dict(gap_before_final_norm=False)
    rule = dict(where=r"stages\..*\.depthwise_conv", kernel_size=17, kernel_count=49)
    theirs, ours = untrained(plain), untrained(converted(plain, **rule), seed=1)
    content = dict(state_dict={f"backbone.{k}": v for k, v in theirs.state_dict().items()})
    assert not is_foreign(nn.ModuleDict(dict(backbone=ours)), content)
    init_cfg = dict(type="mmdcls.Pretrained", checkpoint=saved(theirs, tmp_path))
    ours.init_cfg = init_cfg
    ours.init_weights()
    assert_same_maps(ours, theirs)


REFUSALS = {
    "an unknown network": (dict(network="ResNetV1d9"), r"network='ResNetV1d9' must be"),
    "an unknown option of the network": (dict(typo=1), "ResNet: .*'typo'; its options are depth"),
    "no network": (dict(network=None), "network=None must be"),
    "an unknown option of a rule": (dict(dcls=dict(RULE, size=7)), "dcls has .*'size'.*where"),
    "no where": (dict(dcls=dict(kernel_size=7)), "dcls=.* needs where"),
    "no rule": (dict(dcls=[]), r"dcls=\[\] must be dict\(where"),
    "a rule for nothing": (dict(dcls=dict(RULE, where="conv")), "where='conv' replaces nothing"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_it_does_not_know_is_one_sentence(case):
    options, sentence = REFUSALS[case]
    with pytest.raises(SystemExit, match=sentence), in_a_sentence():
        MODELS.build(converted(RESNET) | options)


def test_weights_that_cannot_be_had_are_one_sentence_with_the_options_that_help():
    missing = dict(type="Pretrained", checkpoint="http://127.0.0.1:9/resnet.pth")
    model = nn.ModuleDict(dict(backbone=MODELS.build(converted(RESNET | dict(init_cfg=missing)))))
    sentence = r"model\.backbone\.init_cfg\.checkpoint=FILE.*model\.backbone\.init_cfg=None"
    with pytest.raises(InputError, match=sentence):
        check_pretrained(model)


def test_a_network_of_timm_without_timm_or_its_weights_is_one_sentence(monkeypatch):
    pytest.importorskip("timm")
    options = dict(type="TIMMBackbone", model_name="convnext_atto", pretrained=True)
    cfg = converted(options, where=r".*\.conv_dw", kernel_size=17, kernel_count=49)

    def offline(*arguments, **others):
        raise FileNotFoundError("not on this disk, and there is no network")

    monkeypatch.setattr("timm.create_model", offline)
    with pytest.raises(InputError, match=r"convnext_atto .*model\.backbone\.pretrained=False"):
        MODELS.build(cfg)
    monkeypatch.setattr(sys.modules[converted_network.__module__], "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs timm, .*pip install -c constraints\.txt"):
        MODELS.build(cfg)
