"""The position study: arms that differ in their kernels and in nothing else, and data in memory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from mmengine.runner import set_random_seed
from torch import nn

from helpers.studies import CONFIGS, DATA, build_model, every_config, small, write_data
from mmdcls.dcls import INTERPOLATIONS, position_owners
from mmdcls.dcls.rules import convolutions_of
from mmdcls.errors import InputError
from mmdcls.running.runner import build_runner
from projects.position_study.fields import with_a_middle
from projects.position_study.position_study import ArrayDataset, ItemAccuracy, ItemIoU
from projects.position_study.position_study.kernels import neutral_count, regular_grid

REFERENCE = next(path for path in CONFIGS if path.stem == "garments_segmentation")
ARMS = {
    "own places": dict(type="dcls", kernel_size=17, share_positions=False),
    "gaussian": dict(type="dcls", kernel_size=23, interpolation="gaussian"),
    "frozen": dict(type="frozen", kernel_size=17),
    "frozen grid": dict(type="frozen", kernel_size=17, interpolation="gaussian", grid=True),
    "dense": dict(type="dense"),
    "dense, dilated": dict(type="dense", dilation=3),
    "dilated": dict(type="dilated"),
    "ckconv": dict(type="ckconv"),
    "flexconv": dict(type="flexconv"),
}
every_arm = pytest.mark.parametrize("arm", ARMS)


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("arrays")
    write_data(folder)
    return folder


def others(model: nn.Module) -> dict[str, torch.Tensor]:
    """All parameters but those of depthwise convolutions."""
    places = {
        id(p) for owner in position_owners(model).values() for p in (owner.positions, owner.sigma)
    }
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if "dwconv" not in name and id(parameter) not in places
    }


@every_config
def test_a_config_trains_validates_and_tests(path, data, tmp_path):
    runner = build_runner(small(path, data, tmp_path))
    before = {name: p.clone() for name, p in runner.model.named_parameters()}
    runner.train()
    for name, parameter in runner.model.named_parameters():
        assert parameter.isfinite().all(), name
        # Which parts of a detector's heads matter depends on the regions drawn.
        if name.startswith("backbone."):
            assert not torch.equal(parameter, before[name]), name
    figures = runner.test()
    # COCO has -1 for sizes of which there are no objects.
    assert all(-1 <= value <= 100 for value in figures.values())
    assert not list(tmp_path.rglob("*.pth"))


@pytest.mark.parametrize("kernel", ["dcls", "frozen"])
def test_resnets_start_alike_but_for_their_kernels_and_have_as_many_parameters(kernel):
    plain, model = (
        MODELS.build(dict(type="StudyResNet", kernel=options))
        for options in (
            dict(type="plain"),
            dict(type=kernel, kernel_size=7, kernel_count="neutral"),
        )
        if set_random_seed(3) == 3
    )
    state, replaced = model.state_dict(), set(convolutions_of(plain)) - set(convolutions_of(model))
    assert len(replaced) == 12
    kernels = {f"{name}.weight" for name in replaced}
    for name, value in plain.state_dict().items():
        assert name in kernels or torch.equal(value, state[name]), name
    counts = [sum(p.numel() for p in net.parameters()) for net in (plain, model)]
    assert counts[1] == pytest.approx(counts[0], rel=0.021)
    frozen = {o.positions.requires_grad for o in position_owners(model).values()}
    assert frozen == {kernel == "dcls"}


@pytest.mark.parametrize("conv", [dict(kernel_size=2), dict(kernel_size=3, padding=1)], ids=str)
def test_images_are_cut_to_where_the_last_map_has_a_middle(conv):
    """Convolutions of 2x2 round the sides of maps down, those of 3x3 up."""
    backbone = nn.Sequential(*(nn.Conv2d(1, 1, stride=2, **conv) for _ in range(4)))
    for height in range(97, 131):
        (image,) = with_a_middle(backbone, [torch.zeros(1, height, 405)])
        assert all(cells % 2 for cells in backbone(image[None]).shape[2:])
        assert height - image.shape[1] < 32 and 405 - image.shape[2] < 32


@every_arm
def test_arms_start_alike_but_for_their_kernels(arm, data, tmp_path):
    reference, model = (
        build_model(small(REFERENCE, data, tmp_path, kernel))
        for kernel in (dict(type="dcls", kernel_size=17), ARMS[arm])
    )
    expected, found = others(reference), others(model)
    assert expected.keys() == found.keys()
    assert all(torch.equal(parameter, found[name]) for name, parameter in expected.items())
    other = others(build_model(small(REFERENCE, data, tmp_path, ARMS[arm]), seed=1))
    assert not torch.equal(
        other["backbone.stages.0.0.pwconv1.weight"], found["backbone.stages.0.0.pwconv1.weight"]
    )


@every_arm
def test_arms_have_the_parameters_of_dense_kernels(arm, data, tmp_path):
    def size(kernel: dict) -> int:
        model = build_model(small(REFERENCE, data, tmp_path, kernel))
        return sum(parameter.numel() for parameter in model.backbone.parameters())

    assert arm == "dilated" or abs(size(ARMS[arm]) / size(dict(type="dense")) - 1) < 0.02


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("share_positions", [True, False])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_no_other_count_comes_closer_to_the_parameters_of_dense(
    depth, share_positions, interpolation
):
    def miss(count: int) -> int:
        places = count * (4 if INTERPOLATIONS[interpolation].has_sigma else 2)
        return abs(depth * count + places * (1 if share_positions else depth) - 49 * depth)

    count = neutral_count(depth, interpolation, share_positions)
    assert miss(count) == min(miss(other) for other in range(1, 50))


def test_the_frozen_learn_all_but_their_places(data, tmp_path):
    kernel = dict(type="frozen", kernel_size=9, interpolation="gaussian")
    runner = build_runner(small(REFERENCE, data, tmp_path, kernel))
    model = runner.model
    places = {
        name: (owner.positions.clone(), owner.sigma.clone())
        for name, owner in position_owners(model).items()
    }
    weight = model.backbone.stages[0][0].dwconv.weight
    before = weight.clone()
    runner.train()
    assert len(places) == 3
    for name, owner in position_owners(model).items():
        assert torch.equal(owner.positions, places[name][0])
        assert torch.equal(owner.sigma, places[name][1])
    assert not torch.equal(weight, before)


def test_the_learned_and_the_frozen_start_at_the_same_places(data, tmp_path):
    learned, still = (
        build_model(small(REFERENCE, data, tmp_path, dict(type=kind, kernel_size=9)))
        for kind in ("dcls", "frozen")
    )
    for name, owner in position_owners(learned).items():
        assert torch.equal(owner.positions, position_owners(still)[name].positions)


@pytest.mark.parametrize(
    ("count", "size", "places"),
    [
        (9, (17, 17), {(row, column) for row in (-8, 0, 8) for column in (-8, 0, 8)}),
        (5, (7, 7), {(0, 0), (-3, 0), (3, 0), (0, -3), (0, 3)}),
        (4, (8, 5), {(-4, -2), (-4, 2), (3, -2), (3, 2)}),
        (1, (5, 5), {(-2, -2)}),
    ],
)
def test_a_regular_grid_reaches_from_border_to_border(count, size, places):
    assert {tuple(place) for place in regular_grid(count, size).T.int().tolist()} == places


def test_batches_are_the_same_for_the_same_seed_whatever_the_model_draws(data):
    dataset = ArrayDataset(
        str(data / "cells.npz"), "training", "maps", crop=(32, 32), flips=(-1, -2)
    )

    def batches(draws: int) -> list[dict]:
        set_random_seed(3)
        torch.rand(draws)
        return [dataset.__getitems__([4, 0, 2]) for _ in range(3)]

    for first, second in zip(batches(0), batches(7), strict=True):
        assert torch.equal(first["images"], second["images"])
        assert torch.equal(first["targets"], second["targets"])
    assert not torch.equal(batches(0)[0]["images"], batches(0)[1]["images"])


@pytest.mark.parametrize("seed", range(5))
def test_maps_are_cut_turned_and_shifted_with_their_images(seed, data):
    ways = dict(crop=(32, 32), flips=(-1, -2), roll=9)
    dataset = ArrayDataset(str(data / "cells.npz"), "training", "maps", **ways)
    dataset.images = dataset.targets[:, None].copy()
    np.random.seed(seed)
    batch = dataset.__getitems__([0, 3, 5])
    assert batch["images"].shape == (3, 1, 32, 32)
    assert torch.equal(batch["images"][:, 0], batch["targets"])


def test_augmentation_leaves_the_data_as_they_are(data):
    dataset = ArrayDataset(
        str(data / "prompts.npz"), "training", "labels", roll=20, blank=dict(rows=8, columns=20)
    )
    whole = dataset.images.copy()
    batch = dataset.__getitems__([1, 2])
    assert (dataset.images == whole).all()
    # Of 32 rows 8 are blank, of 64 columns 20; a random cell is 0 by chance in 1 of 256.
    assert 0.50 < (batch["images"] > 0).double().mean() < 24 / 32 * 44 / 64 + 0.01


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(file="data/absent.npz"), ("no data/absent.npz", "prepare")),
        (dict(part="train"), ("no maps of a part 'train'",)),
        (dict(target="labels"), ("no labels of a part 'training'",)),
    ],
)
def test_what_is_not_there_is_named(change, words, data):
    options = dict(file=str(data / "cells.npz"), part="training", target="maps")
    with pytest.raises(InputError) as raised:
        ArrayDataset(**{**options, **change})
    assert all(word in str(raised.value) for word in words)


def test_intersections_over_unions_are_those_of_mmseg():
    from mmseg.evaluation import IoUMetric

    classes, random = DATA["garments"][3], torch.Generator().manual_seed(0)
    samples = [
        dict(
            gt_sem_seg=dict(data=torch.randint(classes, (1, 20, 20), generator=random)),
            pred_sem_seg=dict(data=torch.randint(classes, (1, 20, 20), generator=random)),
        )
        for _ in range(3)
    ]
    samples[0]["gt_sem_seg"]["data"][:, :4] = 255
    figures = {}
    for metric in (ItemIoU(), IoUMetric()):
        metric.dataset_meta = dict(classes=tuple(map(str, range(classes))))
        metric.process({}, samples)
        figures[type(metric)] = metric.evaluate(3)
    assert figures[ItemIoU]["mIoU"] == pytest.approx(figures[IoUMetric]["mIoU"], abs=0.006)
    assert figures[ItemIoU]["accuracy"] == pytest.approx(figures[IoUMetric]["aAcc"], abs=0.006)


def test_accuracy_keeps_what_it_is_made_of():
    metric = ItemAccuracy()
    scores, labels = torch.eye(4)[[0, 1, 2, 2]], torch.tensor([0, 1, 2, 3])
    for part in (slice(0, 3), slice(3, 4)):
        metric.process({}, [dict(scores=scores[part], labels=labels[part])])
    assert metric.evaluate(4) == dict(accuracy=75)
    assert torch.equal(metric.items["scores"], scores)
    assert torch.equal(metric.items["labels"], labels)
