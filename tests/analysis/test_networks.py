"""The published tables of parameters and FLOPs, and models that count as they should."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from helpers import synthetic
from helpers.catalogue import CONFIGS, leaf_of, load
from mmdcls.analysis.counting import parameters
from mmdcls.analysis.networks import Part, built, count, dense, size_of
from mmdcls.commands import flops
from mmdcls.errors import InputError

ROW = re.compile(
    r"^\| (?:DCLS-)?ConvNeXt-\w \| [^|]+ \|(?P<config>[^|]*?) \| "
    r"(?P<parameters>[\d.]+) M \| (?P<flops>[\d.]+) G \|",
    re.MULTILINE,
)
CONFIG = re.compile(r"\[config\]\(\./(.+?)\)")


class Row(NamedTuple):
    config: Path
    is_dense: bool
    parameters: str
    flops: str


def rows() -> list[Row]:
    """Of the tables of all methods; a dense network's config is that of the DCLS row below it."""
    found = []
    for page in sorted(CONFIGS.glob("*/README.md")):
        text = page.read_text()
        for row in ROW.finditer(text):
            config = page.parent / CONFIG.search(text, row.start("config"))[1]
            found.append(Row(config, not row["config"], row["parameters"], row["flops"]))
    return found


ROWS = rows()


def printed(number: float, like: str) -> str:
    return f"{number:.{len(like.partition('.')[2])}f}"


def whole(parts: dict[str, Part]) -> tuple[int, int, int]:
    """Parameters, those of the merged network, and FLOPs as published."""
    costs = [part.cost for part in parts.values()]
    return (
        sum(part.parameters for part in parts.values()),
        sum(part.merged_parameters for part in parts.values()),
        sum(cost.multiply_adds + cost.cell_by_cell for cost in costs),
    )


def test_there_are_published_figures_of_four_methods():
    assert len(ROWS) == 6 + 6 + 6 + 1
    assert sum(row.is_dense for row in ROWS) == 3 + 3 + 3 + 1


@pytest.mark.parametrize(
    "row", ROWS, ids=lambda row: f"{row.config.parent.name}-{row.parameters}-{row.flops}"
)
def test_a_published_model_has_the_published_figures_to_the_printed_digit(row):
    cfg = load(row.config)
    parts = count(dense(cfg) if row.is_dense else cfg, size_of(cfg))
    learning, merged, counted = whole(parts)
    assert printed((merged if row.is_dense else learning) / 1e6, row.parameters) == row.parameters
    assert printed(counted / 1e9, row.flops) == row.flops


def test_mmdets_documentation_prints_as_much_for_retinanet():
    """Its page on get_flops.py, from the time of mmcv 1: 239.32 GFLOPs for a ResNet-50 with FPN."""
    folder = Path(find_spec("mmdet").origin).parent / ".mim" / "configs" / "retinanet"
    cfg = load(folder / "retinanet_r50_fpn_1x_coco.py")
    assert printed(whole(count(cfg, size_of(cfg)))[2] / 1e9, "239.32") == "239.32"


def test_an_auxiliary_head_has_parameters_and_does_not_run():
    cfg = load(leaf_of("demo", "mini_upernet"))
    parts = count(cfg, (64, 64))
    assert list(parts) == ["backbone", "decode_head", "auxiliary_head"]
    assert [part.cost.has_run for part in parts.values()] == [True, True, False]
    assert all(part.parameters for part in parts.values())


DCLS = dict(type="mmdcls.Dcls2d", kernel_count=5, where_kernel_size=3, dcls_kernel_size=7)
HEAD = dict(num_classes=3, in_channels=512, in_index=3, channels=8)
RETINANET = dict(
    type="mmdet.RetinaNet",
    neck=dict(type="mmdet.FPN", in_channels=[64, 128, 256, 512], out_channels=8, num_outs=5),
    bbox_head=dict(
        type="mmdet.RetinaHead", num_classes=3, in_channels=8, feat_channels=8, stacked_convs=1
    ),
)
STOCK = {
    "one stage": dict(RETINANET, backbone=dict(type="mmdet.ResNet", depth=18, conv_cfg=DCLS)),
    "converted": dict(
        RETINANET,
        backbone=dict(
            type="mmdcls.Converted",
            network="mmdet.ResNet",
            depth=18,
            dcls=dict(where=r"layer\d\.\d\.conv1", kernel_size=7, kernel_count=5),
        ),
    ),
    "cascade of heads": dict(
        type="mmseg.CascadeEncoderDecoder",
        num_stages=2,
        backbone=dict(type="mmseg.ResNetV1c", depth=18, conv_cfg=DCLS),
        decode_head=[
            dict(type="mmseg.FCNHead", num_convs=1, concat_input=False, **HEAD),
            dict(type="mmseg.OCRHead", ocr_channels=8, **HEAD),
        ],
    ),
}


@pytest.mark.parametrize("name", STOCK)
def test_stock_models_count_as_well_and_less_with_their_plain_convolutions(name):
    cfg = Config(dict(model=STOCK[name]))
    init_default_scope(cfg.model.type.partition(".")[0])
    parts, plain = count(cfg, (64, 96)), count(dense(cfg), (64, 96))
    assert all(part.cost.has_run and part.cost.multiply_adds for part in parts.values())
    assert parts["backbone"].cost.multiply_adds > plain["backbone"].cost.multiply_adds
    others = set(parts) - {"backbone"}
    assert {name: parts[name] for name in others} == {name: plain[name] for name in others}


@pytest.mark.parametrize(
    ("method", "part", "whole"),
    [
        ("mask2former", "_ade20k", "decode_head"),
        ("mask2former", "_coco", "panoptic_head"),
        ("dino", "_coco", "transformer"),
    ],
)
def test_what_has_queries_counts_whole_and_more_with_more_queries(method, part, whole):
    cfg = load(leaf_of(method, part))
    cfg.merge_from_dict(synthetic.thin_model(cfg))
    few = count(cfg, (64, 96))
    assert sum(part.parameters for part in few.values()) == parameters(built(cfg))
    assert all(part.cost.has_run and part.cost.multiply_adds for part in few.values())
    head = cfg.model.get("decode_head", cfg.model.get("panoptic_head", cfg.model))
    head.num_queries *= 2
    assert count(cfg, (64, 96))[whole].cost.multiply_adds > few[whole].cost.multiply_adds


def test_a_network_without_dcls_has_no_other():
    assert dense(Config(dict(model=dict(type="mmdet.ResNet", depth=18)))) is None


def test_twice_the_proposals_cost_twice_as_much():
    cfg = load(leaf_of("demo", "cascade"))
    heads = ("roi_head.bbox_head", "roi_head.mask_head")
    costs = [count(cfg, (64, 64))[head].cost for head in heads]
    cfg.model.test_cfg.rpn.max_per_img *= 2
    cfg.model.test_cfg.rcnn.max_per_img *= 2
    twice = [count(cfg, (64, 64))[head].cost for head in heads]
    assert [cost.multiply_adds for cost in twice] == [2 * cost.multiply_adds for cost in costs]


def test_the_command_prints_a_line_for_each_part(capsys):
    flops.main([str(leaf_of("demo", "cascade")), "--shape", "64", "96"])
    first, _, *lines = capsys.readouterr().out.splitlines()
    assert "height 64, width 96" in first and "proposals" in first and "masks" in first
    named = [line.split()[0] for line in lines[1 : lines.index("")]]
    parts = ["backbone", "neck", "rpn_head", "roi_head.bbox_head", "roi_head.mask_head"]
    assert named == [*parts, "all"]


SHARED = dict(type="mmdet.ResLayer", depth=50)


@pytest.mark.parametrize(
    ("options", "size", "words"),
    [
        ({}, (0, 64), "--shape 0 64"),
        ({}, (-64, 64), "--shape -64 64"),
        ({}, (2, 2), "cannot be followed at 2 x 2"),
        ({"model.type": "NoSuchModel"}, (64, 64), "cannot be built.*NoSuchModel"),
        ({"model.roi_head.shared_head": SHARED}, (64, 64), "how its shared_head runs is not known"),
    ],
)
def test_what_cannot_be_counted_is_refused(options, size, words):
    with pytest.raises(InputError, match=words):
        count(load(leaf_of("mask_rcnn", "-t_"), options), size)


def test_a_scope_without_tables_asks_for_a_shape():
    with pytest.raises(InputError, match="--shape"):
        size_of(Config(dict(default_scope="mmagic")))
