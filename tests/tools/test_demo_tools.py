"""The demo's figures and pictures: right where the answer is known, and made for both tasks."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from mmengine.registry import MODELS
from mmengine.runner import save_checkpoint
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from torch import nn

from helpers.catalogue import CONFIGS, load
from mmdcls.dcls import Dcls2d, ElementPositions, start_positions
from mmdcls.dcls.drawing import (
    dense_kernels,
    draw_positions,
    last_layers,
    owners_of,
    positions_figure,
)

TOOLS = CONFIGS.parent / "tools"
LEAVES = sorted((CONFIGS / "demo").glob("*.py"))
SIZE = (60, 80)
HEALTH = ("movement", "at_border", "width")
# Class, rows and columns of the objects in every frame; a nucleus lies in its cell.
OBJECTS = [(1, (5, 45), (5, 35)), (2, (15, 30), (15, 30)), (1, (10, 50), (45, 75))]


@pytest.fixture(autouse=True)
def tools(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """The module, with a truth of three frames written where it looks for one."""
    import demo

    monkeypatch.setattr(demo, "DATA", tmp_path / "cells")
    write_truth(tmp_path / "cells")
    (tmp_path / "predictions").mkdir()
    return demo


def masks() -> list[tuple[int, np.ndarray]]:
    found = []
    for category, (top, bottom), (left, right) in OBJECTS:
        mask = np.zeros(SIZE, bool)
        mask[top:bottom, left:right] = True
        found.append((category, mask))
    return found


def label_map() -> np.ndarray:
    labels = np.zeros(SIZE, np.uint8)
    for category, mask in masks():
        labels[mask] = category
    labels[0] = 255
    return labels


def instance(number: int, frame: int, category: int, mask: np.ndarray) -> dict:
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return dict(
        id=number,
        image_id=frame,
        category_id=category,
        segmentation=dict(size=rle["size"], counts=rle["counts"].decode()),
        bbox=coco_mask.toBbox(rle).tolist(),
        area=int(mask.sum()),
        iscrowd=0,
    )


def write_truth(root: Path) -> None:
    for kind in ("images", "annotations"):
        (root / kind / "validation").mkdir(parents=True)
    content = dict(
        images=[], annotations=[], categories=[dict(id=1, name="cell"), dict(id=2, name="nucleus")]
    )
    random = np.random.default_rng(0)
    for frame in range(3):
        name = f"frame_{frame:02d}.png"
        image = random.integers(0, 255, (*SIZE, 3), dtype=np.uint8)
        Image.fromarray(image).save(root / "images" / "validation" / name)
        Image.fromarray(label_map()).save(root / "annotations" / "validation" / name)
        content["images"].append(dict(id=frame, file_name=name, height=SIZE[0], width=SIZE[1]))
        for category, mask in masks():
            number = len(content["annotations"]) + 1
            content["annotations"].append(instance(number, frame, category, mask))
    (root / "annotations" / "instances_validation.json").write_text(json.dumps(content))


def predict_labels(tmp_path: Path, labels: np.ndarray) -> None:
    for frame in range(3):
        Image.fromarray(labels).save(tmp_path / "predictions" / f"frame_{frame:02d}.png")


def predict_instances(tmp_path: Path, truth: COCO, classes: tuple[int, ...] = (1, 2)) -> None:
    """The truth of these classes, found with a score of 0.9."""
    found = [
        {**entry, "score": 0.9} for entry in truth.anns.values() if entry["category_id"] in classes
    ]
    for kind in ("bbox", "segm"):
        left_out = "segmentation" if kind == "bbox" else "bbox"
        content = [{k: v for k, v in entry.items() if k != left_out} for entry in found]
        (tmp_path / f"predictions.{kind}.json").write_text(json.dumps(content))


def truth_of(tmp_path: Path) -> COCO:
    return COCO(tmp_path / "cells" / "annotations" / "instances_validation.json")


def test_a_perfect_segmentation_has_an_iou_of_one(demo, tmp_path):
    predict_labels(tmp_path, np.where(label_map() == 255, 0, label_map()).astype(np.uint8))
    figures = demo.segmentation_figures(tmp_path)
    assert list(figures) == ["IoU background", "IoU cell", "IoU nucleus", "mIoU"]
    assert all(value == 1 for value in figures.values())


def test_iou_is_the_share_of_the_pixels_that_either_claims(demo, tmp_path):
    labels = np.where(label_map() == 255, 0, label_map()).astype(np.uint8)
    # The nucleus, 15 x 15, found 5 columns too far to the right, within its cell's rows.
    labels[15:30, 15:35] = np.where(np.arange(15, 35) < 20, 1, 2)
    predict_labels(tmp_path, labels)
    assert demo.segmentation_figures(tmp_path)["IoU nucleus"] == pytest.approx(10 / 20)


def test_perfect_detections_have_an_average_precision_of_one(demo, tmp_path):
    truth = truth_of(tmp_path)
    predict_instances(tmp_path, truth)
    figures = demo.detection_figures(tmp_path, truth)
    kinds = [
        f"{kind} {ap} {name}"
        for kind in ("box", "mask")
        for name in ("cell", "nucleus")
        for ap in ("AP", "AP50")
    ]
    assert list(figures) == kinds
    assert all(value == pytest.approx(1) for value in figures.values())


def test_a_class_that_is_never_found_has_an_average_precision_of_zero(demo, tmp_path):
    truth = truth_of(tmp_path)
    predict_instances(tmp_path, truth, classes=(2,))
    figures = demo.detection_figures(tmp_path, truth)
    assert figures["box AP cell"] == figures["mask AP50 cell"] == 0
    assert figures["box AP nucleus"] == pytest.approx(1)


@pytest.mark.parametrize("task", ["seg", "det"])
def test_the_pictures_show_what_was_found(demo, tmp_path, task):
    if task == "seg":
        predict_labels(tmp_path, label_map())
        frames = list(demo.segmented(tmp_path))
    else:
        predict_instances(tmp_path, truth_of(tmp_path))
        frames = list(demo.detected(tmp_path, truth_of(tmp_path)))
    for image, truth, prediction in frames:
        assert image.shape == (*SIZE, 3)
        assert len(truth) == len(prediction) == (2 if task == "seg" else len(OBJECTS))
        for (category, mask), (found, found_mask) in zip(truth, prediction, strict=True):
            assert category == found
            np.testing.assert_array_equal(mask, found_mask)
    assert (demo.overlay(image, truth) != demo.overlay(image, [])).any()
    demo.draw_overlays(frames, tmp_path / "overlays.png")
    assert_picture(tmp_path / "overlays.png")


def assert_picture(path: Path) -> None:
    assert np.array(Image.open(path)).std() > 1


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda path: path.stem)
def test_positions_of_a_checkpoint_are_drawn(leaf, tmp_path, capsys):
    from analysis_tools.draw_positions import main

    cfg = load(leaf)
    model = MODELS.build(cfg.model)
    save_checkpoint(dict(state_dict=model.state_dict()), str(tmp_path / "model.pth"))
    out = tmp_path / "positions.png"
    main([str(leaf), str(tmp_path / "model.pth"), "--out", str(out)])
    assert_picture(out)
    assert str(out) in capsys.readouterr().out


def test_there_is_a_leaf_of_each_task():
    assert {load(leaf).default_scope for leaf in LEAVES} == {"mmdet", "mmseg"}


@pytest.mark.parametrize("size", [(17, 17), (3, 9), (4, 6)], ids=str)
@pytest.mark.parametrize("interpolation", ["bilinear", "gaussian"])
def test_positions_of_any_layer_are_drawn(size, interpolation, tmp_path):
    layers = [
        Dcls2d(8, 4, size, groups=2, kernel_count=5, interpolation=interpolation) for _ in range(10)
    ]
    draw_positions(nn.Sequential(*layers), tmp_path / "positions.png")
    assert_picture(tmp_path / "positions.png")


def test_positions_are_drawn_over_the_layers_that_use_them(tmp_path):
    """Wherever those stand; positions without a layer are drawn alone."""
    owners = [ElementPositions((7, 7), "bilinear", (4, 1, 3)) for _ in range(2)]
    layer = Dcls2d(4, 4, 7, groups=4, kernel_count=3, share_positions=True)
    layer.borrow_positions(owners[0])
    model = nn.ModuleList([*owners, layer])
    assert last_layers(model) == {owners[0]: layer}
    draw_positions(model, tmp_path / "positions.png")
    assert_picture(tmp_path / "positions.png")


def test_a_start_of_other_positions_is_refused(tmp_path):
    model, other = (Dcls2d(4, 4, 7, groups=4, kernel_count=count) for count in (3, 4))
    with pytest.raises(ValueError, match="start has no positions of the model in shape"):
        draw_positions(model, tmp_path / "positions.png", start_positions(other))


def test_a_model_without_positions_is_refused():
    with pytest.raises(ValueError, match="Linear has no two-dimensional DCLS layer"):
        owners_of(nn.Linear(1, 1))


def test_dense_kernels_are_those_of_the_layer(tmp_path):
    model = MODELS.build(load(LEAVES[0]).model)
    owners = owners_of(model)
    assert all(isinstance(owner, ElementPositions) for _, owner in owners)
    for _, stage in owners:
        layer = last_layers(model)[stage]
        kernels = dense_kernels(stage, layer)
        dense = layer.to_conv(stage.shares()).weight.detach().flatten(0, 1).numpy()
        np.testing.assert_allclose(kernels, dense, rtol=1e-6)


def test_dense_kernels_have_scales_that_reach_as_far_as_their_weights():
    layer = Dcls2d(4, 4, 7, groups=4, kernel_count=3)
    panels = positions_figure(layer).axes
    kernels = dense_kernels(layer, layer)[[0, 2, 3]]
    scales = [ax for ax in panels if ax.get_label() == "<colorbar>"][1:]
    reached = [ax.get_ylim()[1] for ax in scales]
    np.testing.assert_allclose(reached, np.abs(kernels).max((1, 2)), rtol=1e-6)


def test_loss_metric_and_health_are_drawn_over_the_same_iterations(tmp_path, monkeypatch):
    from analysis_tools import draw_training

    folder = tmp_path / "20200101_000000" / "vis_data"
    folder.mkdir(parents=True)
    lines = [dict(step=step, loss=1 / step) for step in range(1, 9)]
    tags = [f"positions/backbone.stages.{i}/{name}" for i in (0, 1) for name in HEALTH]
    lines += [dict.fromkeys(tags, 0.01 * step) | dict(step=step) for step in (3, 6)]
    (folder / "scalars.json").write_text("\n".join(map(json.dumps, lines)))
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *args, **kwargs: drawn.append(figure))
    for options, rows in (
        ([], ["movement", "at_border"]),
        (["--health", "width", "movement"], ["width", "movement"]),
        (["--health"], []),
    ):
        draw_training.main([str(tmp_path), *options])
        top, *below = drawn[-1].axes
        assert len(top.lines) == 1 and len(below) == len(rows)
        for ax in below:
            assert [line.get_label() for line in ax.lines] == [
                "backbone.stages.0",
                "backbone.stages.1",
            ]
            assert [list(line.get_xdata()) for line in ax.lines] == [[3, 6]] * 2
            assert ax.get_xlim() == top.get_xlim()
    with pytest.raises(SystemExit, match="figure reach_90 is not in .*; there are .*'movement'"):
        draw_training.main([str(tmp_path), "--health", "reach_90"])


def test_overlays_have_a_legend_of_the_classes(demo, monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *args, **kwargs: drawn.append(figure))
    image = np.zeros((*SIZE, 3), np.uint8)
    demo.draw_overlays([(image, masks(), [])], tmp_path / "overlays.png")
    [legend] = drawn[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["cell", "nucleus"]
    for patch, colour in zip(legend.get_patches(), demo.COLOURS.values(), strict=True):
        np.testing.assert_allclose(patch.get_facecolor()[:3], np.array(colour) / 255)


def test_loss_and_metric_of_the_newest_run_are_drawn(tmp_path):
    from analysis_tools.draw_training import draw_training

    for run, loss in (("20200101_000000", 9.0), ("20200102_000000", 1.0)):
        folder = tmp_path / run / "vis_data"
        folder.mkdir(parents=True)
        lines = [dict(step=step, loss=loss / step) for step in range(1, 9)]
        lines += [dict(step=step, mIoU=10.0 * step) for step in (4, 8)]
        (folder / "scalars.json").write_text("\n".join(map(json.dumps, lines)))
    draw_training(tmp_path, ["mIoU"], tmp_path / "training.png")
    assert_picture(tmp_path / "training.png")
    with pytest.raises(SystemExit, match="metric bbox_mAP is not in .*20200102"):
        draw_training(tmp_path, ["bbox_mAP"], tmp_path / "training.png")
    with pytest.raises(SystemExit, match="holds no run"):
        draw_training(tmp_path / "20200101_000000", ["mIoU"], tmp_path / "training.png")


@pytest.fixture
def trained(demo, tmp_path, monkeypatch) -> list[int]:
    """The seeds that the demo trained with, instead of training."""
    seeds = []

    def train_and_draw(task: str, cfg) -> dict:
        seeds.append(cfg.randomness.seed)
        figures = {"IoU nucleus": 0.5}
        seconds = dict(training_seconds=1, training_cpu_seconds=2)
        picture = tmp_path / "training.png"
        picture.touch()
        return dict(figures=figures, pictures={"loss curve": str(picture)}, **seconds)

    (demo.DATA / demo.STAMP).write_text("{}")
    monkeypatch.setattr(demo, "prepare", lambda out: None)
    monkeypatch.setattr(demo, "train_and_draw", train_and_draw)
    (tmp_path / "run").mkdir()
    return seeds


@pytest.mark.parametrize("task", ["seg", "det"])
def test_a_finished_run_is_shown_again_and_only_another_one_trains(
    demo, trained, tmp_path, task, capsys
):
    arguments = [task, "--work-dir", str(tmp_path / "run")]
    demo.main(arguments)
    first = capsys.readouterr().out
    demo.main(arguments)
    second = capsys.readouterr().out
    assert trained == [0]
    assert second == "This run is finished already; --again trains anew.\n" + first
    assert first.splitlines()[-1] == f"  {tmp_path}/training.png  (loss curve)"
    assert "IoU nucleus  0.500" in first
    demo.main([*arguments, "--again"])
    demo.main([*arguments, "--seed", "1"])
    assert trained == [0, 0, 1]
    (demo.DATA / demo.STAMP).write_text('{"other": "data"}')
    demo.main([*arguments, "--seed", "1"])
    assert trained == [0, 0, 1, 1]


def test_a_run_that_fails_does_not_count_as_finished(demo, trained, tmp_path, monkeypatch):
    arguments = ["seg", "--work-dir", str(tmp_path / "run")]
    demo.main(arguments)

    def fail(task: str, cfg) -> dict:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(demo, "train_and_draw", fail)
        demo.main([*arguments, "--again"])
    demo.main(arguments)
    assert trained == [0, 0]


def lose_a_picture(tmp_path: Path) -> None:
    (tmp_path / "training.png").unlink()


def damage_the_report(tmp_path: Path) -> None:
    (tmp_path / "run" / "demo.json").write_text("{")


@pytest.mark.parametrize("damage", [lose_a_picture, damage_the_report])
def test_a_finished_run_of_which_something_is_lost_trains_anew(demo, trained, tmp_path, damage):
    arguments = ["seg", "--work-dir", str(tmp_path / "run")]
    demo.main(arguments)
    damage(tmp_path)
    demo.main(arguments)
    demo.main(arguments)
    assert trained == [0, 0]


def test_a_file_in_place_of_the_work_dir_is_named(demo, trained, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match="file is a file; name another folder"):
        demo.main(["seg", "--work-dir", str(tmp_path / "file")])
