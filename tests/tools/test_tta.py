"""Test-time augmentation is the published multi-scale protocol, not mmseg's own."""

import re

import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, TRANSFORMS
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from helpers import synthetic
from helpers.catalogue import LEAVES, leaf_of, load
from mmdcls import config_path
from mmdcls.commands import test
from mmdcls.data.augmentation import views_apart

RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)


@pytest.fixture
def cfg() -> Config:
    return load(leaf_of("upernet", "tiny_"))


def setr_size(height: int, width: int, ratio: float) -> tuple[int, int]:
    """The size that SETR's resizing gives at a ratio of (2048, 512) and a window of 512."""
    short = max(int(512 * ratio), 512)
    long = short * max(height, width) / min(height, width)
    size = mmcv.rescale_size((width, height), (long, short))
    return size[1], size[0]


@pytest.mark.parametrize(
    ("image", "sizes"),
    [
        # By hand, for ratios up to 1, 1.25, 1.5 and 1.75.
        ((512, 683), [(512, 683), (640, 854), (768, 1025), (896, 1195)]),
        ((256, 256), [(512, 512), (640, 640), (768, 768), (896, 896)]),
        ((900, 600), [(768, 512), (960, 640), (1152, 768), (1344, 896)]),
        # Four times as wide as high and more: mmseg's (2048, 512) would cut the short side.
        ((100, 500), [(512, 2560), (640, 3200), (768, 3840), (896, 4480)]),
    ],
    ids=str,
)
def test_short_sides_are_at_least_the_window_and_long_sides_follow(cfg, image, sizes):
    wanted = [sizes[max(0, index - 2)] for index in range(len(RATIOS))]
    assert shapes(cfg, image) == [size for size in wanted for _ in range(2)]


@pytest.mark.parametrize(
    "image", [(375, 500), (333, 500), (427, 640), (1536, 2049), (97, 131), (301, 97)], ids=str
)
def test_sizes_are_those_of_the_published_resizing(cfg, image):
    wanted = [setr_size(*image, ratio) for ratio in RATIOS]
    assert shapes(cfg, image) == [size for size in wanted for _ in range(2)]


def shapes(cfg: Config, image: tuple[int, int]) -> list[tuple[int, int]]:
    """The sizes of all variants, in order: by ratio, then unflipped and flipped."""
    resize_and_flip = cfg.tta_pipeline[1].transforms[:2]
    augment = TRANSFORMS.build(dict(type="TestTimeAug", transforms=resize_and_flip))
    variants = augment(dict(img=np.zeros((*image, 3), np.uint8), img_shape=image))
    return [variant.shape[:2] for variant in variants["img"]]


def test_the_pipeline_yields_six_ratios_with_and_without_flip(cfg, tmp_path):
    cfg.merge_from_dict(synthetic.write_data(cfg, tmp_path))
    dataset = DATASETS.build(
        dict(cfg.test_dataloader.dataset, pipeline=cfg.tta_pipeline, test_mode=True)
    )
    sample = dataset[0]
    inputs, infos = sample["inputs"], sample["data_samples"]
    assert len(inputs) == len(infos) == 12
    assert [info.metainfo["flip"] for info in infos] == [False, True] * 6
    for index in range(0, 12, 2):
        assert torch.equal(inputs[index].flip(2), inputs[index + 1])
    # The truth is neither resized, flipped nor shifted by other than its zero label.
    for info in infos:
        assert info.gt_sem_seg.shape == synthetic.IMAGE_SIZE
        assert set(info.gt_sem_seg.data.unique().tolist()) == {0, 1, 149, 255}


def test_the_merged_map_is_the_class_of_the_mean_probability(cfg):
    cfg.merge_from_dict(synthetic.thin_model(cfg))
    model = MODELS.build(cfg.tta_model | dict(module=cfg.model))
    logits = torch.randn(12, 150, 5, 7)
    samples = []
    for one in logits:
        sample = SegDataSample(metainfo=dict(img_path="one.jpg"))
        sample.seg_logits = PixelData(data=one)
        samples.append(sample)
    (merged,) = model.merge_preds([samples])
    (found,) = merged.pred_sem_seg.data
    assert torch.equal(found, logits.softmax(1).mean(0).argmax(0))


@pytest.mark.parametrize(
    "leaf", [leaf for leaf in LEAVES if "tta_pipeline" in Config.fromfile(leaf)]
)
def test_views_are_of_the_size_of_the_test_where_ours_are(leaf):
    assert views_apart(Config.fromfile(leaf)) is None


@pytest.mark.parametrize(
    ("resize", "words"),
    [
        (dict(type="Resize", scale=(1024, 256), keep_ratio=True), "makes it 256"),
        (dict(type="mmseg.ResizeShortestEdge", scale=300, max_size=900), "makes it 300"),
        (dict(type="Resize", scale_factor=2.0, keep_ratio=True), "gives it no such size"),
    ],
)
def test_views_of_another_size_than_the_test_are_told(cfg, resize, words):
    loading, _, *others = cfg.test_pipeline
    cfg.test_dataloader.dataset.pipeline = [loading, resize, *others]
    with pytest.warns(UserWarning, match=f"short side 512, 640, 768, 896 pixels.*{words}"):
        test.apply_flags(cfg, test.parse_arguments(["config", "checkpoint", "--tta"]))


def test_where_a_config_without_views_takes_them_from_is_told():
    cfg = load(leaf_of("demo", "mini_upernet"))
    with pytest.raises(SystemExit, match="take both from what `mmdcls config (.*)` prints") as told:
        test.apply_flags(cfg, test.parse_arguments(["config", "checkpoint", "--tta"]))
    named = re.search("mmdcls config (.*?)`", str(told.value))[1]
    assert {"tta_pipeline", "tta_model"} <= Config.fromfile(config_path(named)).keys()
