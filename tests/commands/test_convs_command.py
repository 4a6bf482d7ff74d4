"""`mmdcls convs` lists what rules can name, and says what they would do."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmdcls import commands
from mmdcls.dcls import Dcls2d

NORM = dict(type="BN")
RESNET = dict(type="ResNetV1c", depth=18, base_channels=8, stem_channels=8, norm_cfg=NORM)
# Its construction asks for values, which a model without memory has not.
MSCAN = dict(type="MSCAN", embed_dims=[8, 8, 8, 8], depths=[1, 1, 1, 1], norm_cfg=NORM)
HEAD = dict(type="FCNHead", in_channels=64, in_index=3, channels=8, num_classes=3, norm_cfg=NORM)
RULE = dict(where=r".*conv[12]", kernel_size=7, kernel_count="neutral", share="layer")
FLAGS = ["--where", RULE["where"], "--kernel-size", "7", "--kernel-count", "neutral"]
FLAGS += ["--share", "layer"]
MSCAN_RULE = dict(where=r"block\d\..*\.conv2_\d", kernel_size=23)


def written(backbone: dict, folder: Path) -> str:
    model = dict(type="EncoderDecoder", backbone=backbone, decode_head=HEAD)
    Config(dict(model=model, default_scope="mmseg")).dump(folder / "config.py")
    return str(folder / "config.py")


def converted(backbone: dict, rule: dict) -> dict:
    return dict(backbone, type="mmdcls.Converted", network=backbone["type"], dcls=rule)


def convs(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    commands.main(["convs", *arguments])
    return capsys.readouterr().out


def parameters_of(module: nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()):,}"


@pytest.mark.parametrize(
    ("backbone", "rule"), [(RESNET, RULE), (MSCAN, MSCAN_RULE)], ids=["ResNet", "MSCAN"]
)
def test_it_says_what_the_rule_of_a_config_makes(backbone, rule, tmp_path, capsys):
    out = convs(capsys, written(converted(backbone, rule), tmp_path))
    init_default_scope("mmseg")
    dense, model = MODELS.build(backbone), MODELS.build(converted(backbone, rule))
    made = [name for name, module in model.named_modules() if isinstance(module, Dcls2d)]
    assert [name for name in made if not re.search(rf"^  {name} .* -> ", out, re.MULTILINE)] == []
    assert f"\n{len(made)} convolutions became DCLS layers" in out
    assert f"{parameters_of(dense)} parameters became {parameters_of(model)}\n" in out


def test_a_rule_of_flags_does_what_the_same_rule_does_in_a_config(tmp_path, capsys):
    plain = convs(capsys, written(RESNET, tmp_path), *FLAGS)
    assert plain == convs(capsys, written(converted(RESNET, RULE), tmp_path))


def test_the_table_counts_every_convolution_of_several_cells(tmp_path, capsys):
    for part, module in ("backbone", RESNET), ("decode_head", HEAD):
        init_default_scope("mmseg")
        wanted = [
            m
            for m in MODELS.build(module).modules()
            if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)
        ]
        out = convs(capsys, written(RESNET, tmp_path), "--part", part)
        counts = re.findall(r"  (\d+) x \d+x\d+ ", out)
        assert sum(map(int, counts)) == len(wanted)
    assert "\n  backbone.layer" in convs(capsys, written(RESNET, tmp_path), "--part", "")


REFUSALS = {
    "a part that is not there": (["--part", "neck"], "no part 'neck'; it has .*backbone"),
    "a rule for nothing": (["--where", "x"], r"where='x' replaces nothing.*\n.*stem\.N"),
    "a rule that is none": ([*FLAGS, "--interpolation", "x"], "interpolation='x'"),
    "a count that is none": (["--where", ".*", "--kernel-count", "few"], "kernel_count='few'"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_does_not_fit_is_a_sentence(case, tmp_path):
    flags, sentence = REFUSALS[case]
    with pytest.raises(SystemExit, match=sentence):
        commands.main(["convs", written(RESNET, tmp_path), *flags])


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--share", "stage"], "needs --where"),
        (["--where", ".*", "--where-depthwise", "no"], "neither true nor false"),
    ],
)
def test_flags_that_do_not_fit_end_with_the_usage(flags, sentence, tmp_path, capsys):
    with pytest.raises(SystemExit):
        commands.main(["convs", written(RESNET, tmp_path), *flags])
    assert sentence in capsys.readouterr().err
