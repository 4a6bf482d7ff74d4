"""Names and colours of classes: the config's, and the checkpoint's where the config has none."""

import pytest
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.datasets import ADE20KDataset, BaseSegDataset, CityscapesDataset
from torch import nn

from mmdcls.checkpoint.trained import dataset_meta_of

THREE, OTHERS = ["a", "b", "c"], ["x", "y", "z"]
COLOURS = [[1, 1, 1], [2, 2, 2], [3, 3, 3]]
NAMED = dict(classes=THREE, palette=COLOURS)
TRAINED_WITH = dict(classes=OTHERS, palette=COLOURS[::-1])
CITIES = CityscapesDataset.METAINFO


def seg(type: str = "BaseSegDataset", **metainfo) -> dict:
    # Of a data set that is not on this machine.
    return dict(type=type, data_root="nowhere", metainfo=metainfo)


CASES = {
    "those of the config": (seg(**NAMED), None, NAMED),
    "before those of the checkpoint": (seg(**NAMED), TRAINED_WITH, NAMED),
    "of its type": (
        dict(type="CityscapesDataset"),
        dict(classes=CITIES["classes"][::-1], palette=CITIES["palette"]),
        CITIES,
    ),
    "some of its type": (
        seg("CityscapesDataset", classes=["road", "car", "sky"]),
        None,
        dict(
            classes=["road", "car", "sky"],
            palette=[CITIES["palette"][CITIES["classes"].index(n)] for n in ("road", "car", "sky")],
        ),
    ),
    "a type as a class": (dict(type=CityscapesDataset), None, CITIES),
    "a type that looks for its files": (
        dict(type="DRIVEDataset", data_prefix=dict(img_path="nowhere")),
        None,
        dict(classes=("background", "vessel"), palette=[[120, 120, 120], [6, 230, 230]]),
    ),
    "the first in wrappers": (
        dict(
            type="ConcatDataset",
            datasets=[dict(type="RepeatDataset", dataset=seg(**NAMED)), seg(**TRAINED_WITH)],
        ),
        None,
        NAMED,
    ),
    "a config without": (seg(), TRAINED_WITH, TRAINED_WITH),
    "a type that is not installed": (dict(type="Elsewhere"), TRAINED_WITH, TRAINED_WITH),
    "a config for another number": (dict(type="ADE20KDataset"), TRAINED_WITH, TRAINED_WITH),
    "both for another number": (
        dict(type="ADE20KDataset"),
        dict(classes=["x"]),
        ADE20KDataset.METAINFO,
    ),
    "no names": (seg(), None, {}),
    "own names, a detector": (
        dict(type="mmdet.CocoDataset", metainfo=dict(classes=THREE)),
        None,
        dict(classes=THREE, palette=CocoDataset.METAINFO["palette"][:3]),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_whose_names_are_taken(case):
    dataset, trained_with, wanted = CASES[case]
    init_default_scope("mmseg")
    model = nn.Sequential(nn.Module(), nn.Module())
    model[1].num_classes = 3 if "number" in case else len(wanted.get("classes", ()))
    checkpoint = {} if trained_with is None else dict(meta=dict(dataset_meta=trained_with))
    cfg = Config(dict(test_dataloader=dict(dataset=dataset)))
    found = dataset_meta_of(cfg, model, checkpoint)
    assert {key: list(value) for key, value in found.items()} == {
        key: list(value) for key, value in wanted.items()
    }


def test_colours_that_nobody_gives_are_those_of_the_test():
    init_default_scope("mmseg")
    cfg = Config(dict(test_dataloader=dict(dataset=seg(classes=THREE))))
    found = dataset_meta_of(cfg, nn.Module(), {})
    assert found == dict(
        classes=THREE,
        palette=BaseSegDataset(metainfo=dict(classes=THREE), lazy_init=True).metainfo["palette"],
    )
