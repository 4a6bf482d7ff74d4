"""What tools/test.py keeps of a segmentor: all images, whatever their names, and all classes."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmseg.datasets import ADE20KDataset

from helpers.provocations import Trial, new_trial, saved, weights
from mmdcls import commands
from mmdcls.commands import test
from mmdcls.running.legends import ROW
from mmdcls.running.predicted_files import write_labels

PLACES = [("", "a"), ("one", "a"), ("two", "a"), ("two", "b")]


def files_of(folder: Path, suffix: str = ".png") -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob(f"*{suffix}")}


def kept(trial: Trial, checkpoint: str | None = None) -> tuple[Path, Path]:
    """Folders of label images and of pictures."""
    labels, pictures = trial.folder / "labels", trial.folder / "pictures"
    options = ["--out", str(labels), "--show-dir", str(pictures)]
    trial.run("test", checkpoint or saved(weights)(trial), *options)
    return labels, pictures


def in_folders(trial: Trial, prefix: str = "") -> dict:
    """Images of one name in several folders; returns the options of a data set that has them."""
    test = trial.cfg.test_dataloader.dataset
    folders = {}
    for key, folder in test.data_prefix.items():
        first = next((trial.data / folder).glob("0.*"))
        folders[key] = f"{prefix}{folder}/in_folders"
        for below, name in PLACES:
            place = trial.data / folders[key] / below / f"{name}{first.suffix}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(first.read_bytes())
    return dict(test, data_prefix=folders)


def test_images_of_one_name_in_several_folders(tmp_path):
    trial = new_trial("seg", tmp_path)
    trial.cfg.test_dataloader.dataset = in_folders(trial)
    wanted = {str(Path(below, f"{name}.png")) for below, name in PLACES}
    for folder in kept(trial):
        assert files_of(folder) == wanted


def test_images_of_one_name_in_several_data_sets(tmp_path):
    trial = new_trial("seg", tmp_path)
    first, second = (in_folders(trial, prefix) for prefix in ("first/", "second/"))
    repeated = dict(type="RepeatDataset", times=2, dataset=second)
    trial.cfg.test_dataloader.dataset = dict(type="ConcatDataset", datasets=[first, repeated])
    below = [str(Path(part["data_prefix"]["img_path"])) for part in (first, second)]
    wanted = {str(Path(part, folder, f"{n}.png")) for part in below for folder, n in PLACES}
    for folder in kept(trial):
        assert files_of(folder) == wanted


def test_a_plain_folder_is_written_under_the_names_of_the_images(tmp_path):
    trial = new_trial("seg", tmp_path)
    for folder in kept(trial):
        assert files_of(folder) == {"0.png", "1.png", "2.png"}


def test_a_metric_that_only_formats_writes_where_out_says(tmp_path):
    trial = new_trial("seg", tmp_path)
    trial.merge({"test_evaluator.format_only": True, "test_evaluator.output_dir": "nowhere"})
    labels, _ = kept(trial)
    assert files_of(labels) == {"0.png", "1.png", "2.png"}
    assert not Path("nowhere").exists()


def test_pictures_have_titles_and_the_colours_of_the_classes_in_a_legend(tmp_path):
    trial = new_trial("seg", tmp_path)
    labels, pictures = kept(trial)
    height, width = cv2.imread(str(labels / "0.png")).shape[:2]
    drawn = cv2.imread(str(pictures / "0.png"))
    assert drawn.shape[1] == 2 * width
    assert (drawn[:ROW] == 255).mean() > 0.5
    legend = {tuple(c) for c in drawn[ROW + height :].reshape(-1, 3)[:, ::-1].tolist()}
    # The data set numbers its classes from 1.
    found = np.unique(cv2.imread(str(labels / "0.png"), cv2.IMREAD_UNCHANGED)) - 1
    assert {tuple(ADE20KDataset.METAINFO["palette"][number]) for number in found} <= legend


@pytest.mark.parametrize(("count", "kind"), [(256, np.uint8), (300, np.uint16)])
def test_class_numbers_that_a_byte_does_not_hold(count, kind, tmp_path):
    trial = new_trial("seg", tmp_path)
    for head in ("decode_head", "auxiliary_head"):
        trial.merge({f"model.{head}.num_classes": count})
    for split in ("train", "val", "test"):
        dataset = trial.cfg[f"{split}_dataloader"].dataset
        names = tuple(map(str, range(count)))
        own = dict(type="BaseSegDataset", img_suffix=".jpg", metainfo=dict(classes=names))
        dataset.update(reduce_zero_label=False, **own)
        for step in dataset.pipeline:
            if step.type == "LoadAnnotations":
                step.pop("reduce_zero_label", None)
    last = count - 20
    content = weights(trial)
    content["state_dict"]["decode_head.conv_seg.bias"][last] = 1000
    checkpoint = saved(content)(trial)
    labels, _ = kept(trial, checkpoint)
    image = str(trial.data / "images/validation/0.jpg")
    config, out = str(trial.folder / "config.py"), trial.folder / "predicted"
    commands.main(["predict", config, checkpoint, image, "--out", str(out)])
    for folder in (labels, out):
        found = cv2.imread(str(folder / "0.png"), cv2.IMREAD_UNCHANGED)
        assert found.dtype == kind
        assert np.unique(found) == last


def test_a_zero_that_is_no_class_needs_a_bit_more(tmp_path):
    model = torch.nn.Module()
    model.num_classes = 256
    path = str(tmp_path / "a.png")
    for first, kind in ((0, np.uint8), (1, np.uint16)):
        write_labels(path, np.full((4, 4), 3), model, first)
        found = cv2.imread(path, cv2.IMREAD_UNCHANGED)
        assert (found.dtype, found.max()) == (kind, 3 + first)


def test_test_time_augmentation_reaches_every_part(tmp_path):
    trial = new_trial("seg", tmp_path)
    part = trial.cfg.test_dataloader.dataset
    repeated = dict(type="RepeatDataset", times=2, dataset=part)
    nested = dict(type="ConcatDataset", datasets=[part, repeated])
    trial.cfg.test_dataloader.dataset = dict(type="ConcatDataset", datasets=[nested, part])
    test.apply_flags(trial.cfg, test.parse_arguments(["config", "checkpoint", "--tta"]))
    outer = trial.cfg.test_dataloader.dataset.datasets
    inner = outer[0].datasets
    for dataset in (inner[0], inner[1].dataset, outer[1]):
        assert dataset.pipeline == trial.cfg.tta_pipeline
