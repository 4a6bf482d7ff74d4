"""`mmdcls train` and `mmdcls test`, one each for both tasks, with the flags people know."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint

from helpers import synthetic
from helpers.processes import free_port, start, succeed
from mmdcls.commands import test, train

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SEG = next((ROOT / "configs/upernet").glob("*tiny_upernet*.py"))
DET = next((ROOT / "configs/mask_rcnn").glob("*convnext-t_fpn*.py"))
ITERATIONS = 4


def as_arguments(options: dict) -> list[str]:
    return [f"{key}={value}" for key, value in options.items()]


def short_training() -> dict:
    return {
        "train_cfg._delete_": True,
        "train_cfg.type": "IterBasedTrainLoop",
        "train_cfg.max_iters": ITERATIONS,
        "train_cfg.val_interval": ITERATIONS,
        "default_hooks.checkpoint.by_epoch": False,
        "default_hooks.checkpoint.interval": 2,
        "default_hooks.logger.interval": 1,
        "log_processor.by_epoch": False,
        "train_dataloader.sampler.type": "InfiniteSampler",
    }


@pytest.fixture(scope="module")
def tasks(tmp_path_factory) -> dict[str, Path]:
    """One small config of its own per task, in a folder with its data."""
    configs = {}
    for task, base, write in (
        ("seg", SEG, synthetic.write_ade),
        ("det", DET, synthetic.write_coco),
    ):
        folder = tmp_path_factory.mktemp(task)
        cfg = Config.fromfile(base)
        options = {**write(folder / "data"), **synthetic.thin_model(cfg), **synthetic.in_process()}
        cfg.merge_from_dict({**options, **short_training()})
        cfg.param_scheduler = []
        cfg.optim_wrapper.type = "OptimWrapper"
        if task == "seg":
            cfg.model.test_cfg = dict(mode="whole")
            cfg.model.data_preprocessor.size = (96, 128)
            cfg.train_pipeline[3].crop_size = (96, 128)
            cfg.train_dataloader.dataset.pipeline = cfg.train_pipeline
            cfg.tta_pipeline[1].transforms[0] = [dict(type="Resize", scale=(128, 96))]
        cfg.dump(folder / "small.py")
        configs[task] = folder / "small.py"
    return configs


@pytest.fixture(scope="module")
def trained(tasks) -> dict[str, Path]:
    """The checkpoint of a short training per task."""
    checkpoints = {}
    for task, config in tasks.items():
        work_dir = config.parent / "trained"
        train.main([str(config), "--work-dir", str(work_dir)])
        checkpoints[task] = Path(find_latest_checkpoint(str(work_dir)))
    return checkpoints


TASKS = pytest.mark.parametrize("task", ["seg", "det"])


def state(path: Path) -> dict:
    return torch.load(path, weights_only=True)


@TASKS
def test_training_writes_checkpoints_that_load_safely(task, trained):
    found = state(trained[task])
    assert found["meta"]["iter"] == ITERATIONS
    assert any(key.endswith("positions") for key in found["state_dict"])


@TASKS
def test_training_resumes_from_a_path_and_from_the_latest(task, tasks, trained, tmp_path, capfd):
    more = ["--cfg-options", f"train_cfg.max_iters={ITERATIONS + 2}"]
    config = [str(tasks[task]), "--work-dir", str(tmp_path)]
    train.main([*config, "--resume", str(trained[task]), *more])
    latest = Path(find_latest_checkpoint(str(tmp_path)))
    assert state(latest)["meta"]["iter"] == ITERATIONS + 2
    more = ["--cfg-options", f"train_cfg.max_iters={ITERATIONS + 4}"]
    train.main([*config, "--resume", *more])
    latest = Path(find_latest_checkpoint(str(tmp_path)))
    assert state(latest)["meta"]["iter"] == ITERATIONS + 4
    assert "Nothing is left" not in capfd.readouterr().out
    train.main([*config, "--resume", *more])
    assert f"Nothing is left to train: the checkpoint is of iteration {ITERATIONS + 4}" in (
        capfd.readouterr().out
    )


@TASKS
def test_a_checkpoint_is_tested_drawn_and_its_predictions_kept(task, tasks, trained, tmp_path):
    out = tmp_path / "predictions.pkl"
    arguments = [str(tasks[task]), str(trained[task]), "--work-dir", str(tmp_path / "work")]
    # Runners of one process share visualisers of one name.
    own = ["--cfg-options", f"visualizer.name={task}"]
    test.main([*arguments, "--show-dir", str(tmp_path / "pictures"), "--out", str(out), *own])
    assert len(list((tmp_path / "pictures").rglob("*.png"))) == 3
    with open(out, "rb") as file:
        assert len(pickle.load(file)) == 3


def test_a_segmentor_writes_label_images_to_a_folder(tasks, trained, tmp_path):
    out = tmp_path / "labels"
    work_dir = str(tmp_path / "work")
    test.main([str(tasks["seg"]), str(trained["seg"]), "--work-dir", work_dir, "--out", str(out)])
    images = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in out.glob("*.png")]
    assert len(images) == 3
    # Classes as the data set numbers them, from 1.
    assert all(np.isin(image, range(1, 151)).all() for image in images)


def test_a_detector_refuses_a_folder_of_label_images(tasks, trained, tmp_path):
    with pytest.raises(SystemExit, match=r"labels: write a \.pkl"):
        test.main([str(tasks["det"]), str(trained["det"]), "--out", str(tmp_path / "labels")])


def test_a_file_name_is_not_taken_for_a_folder_of_label_images(tasks):
    cfg = Config.fromfile(tasks["seg"])
    arguments = ["config", "checkpoint", "--out", "results.json"]
    with pytest.raises(SystemExit, match=r"results.json: write a \.pkl"):
        test.apply_flags(cfg, test.parse_arguments(arguments))


def test_test_time_augmentation_runs(tasks, trained, tmp_path):
    arguments = [str(tasks["seg"]), str(trained["seg"]), "--work-dir", str(tmp_path), "--tta"]
    # The images of the tests are small, and their views smaller than what the test makes of them.
    with pytest.warns(UserWarning, match="tta_pipeline makes the short side 96 pixels"):
        test.main([*arguments, "--cfg-options", "test_dataloader.dataset.indices=1"])


def test_mixed_precision_trains(tasks, tmp_path):
    train.main([str(tasks["seg"]), "--work-dir", str(tmp_path), "--amp"])
    weights = state(Path(find_latest_checkpoint(str(tmp_path))))["state_dict"]
    assert all(torch.isfinite(value).all() for value in weights.values())
    assert {value.dtype for value in weights.values()} <= {torch.float32, torch.int64}


def test_the_rate_scales_with_the_batch(tasks):
    cfg = Config.fromfile(tasks["seg"])
    train.apply_flags(cfg, train.parse_arguments(["config", "--auto-scale-lr"]))
    assert cfg.auto_scale_lr.enable
    for nothing in (dict(), None):
        cfg.auto_scale_lr = nothing
        with pytest.raises(SystemExit, match="base_batch_size"):
            train.apply_flags(cfg, train.parse_arguments(["config", "--auto-scale-lr"]))


OPTIONS = {
    "load_from=/my data/x.pth": "/my data/x.pth",
    "load_from='/my data/x.pth'": "/my data/x.pth",
    "size=(1, 2)": (1, 2),
    "paths=[a/b, c/d]": ["a/b", "c/d"],
    "rate=0.1": 0.1,
    "resume=true": True,
}


@pytest.mark.parametrize("option", OPTIONS)
def test_options_are_read_as_by_mmengine_but_paths_keep_their_spaces(option):
    parsed = train.parse_arguments(["config", "--cfg-options", option])
    assert parsed.cfg_options == {option.partition("=")[0]: OPTIONS[option]}


def test_flags_that_the_config_cannot_serve_are_refused(tasks):
    cfg = Config.fromfile(tasks["det"])
    cfg.pop("tta_model", None)
    with pytest.raises(SystemExit, match="tta_pipeline and tta_model"):
        test.apply_flags(cfg, test.parse_arguments(["config", "checkpoint", "--tta"]))
    cfg.optim_wrapper.type = "ApexOptimWrapper"
    with pytest.raises(SystemExit, match="ApexOptimWrapper"):
        train.apply_flags(cfg, train.parse_arguments(["config", "--amp"]))


def test_two_processes_train_and_test_together(tasks, tmp_path):
    options = ["--work-dir", tmp_path, "--cfg-options"]

    def run(script: str, *arguments) -> str:
        return succeed(start(ROOT / "tools" / script, *arguments, PORT=str(free_port())))

    norms = as_arguments(dict.fromkeys(norm_types(tasks["seg"]), "BN"))
    run("dist_train.sh", tasks["seg"], 2, *options, *norms)
    latest = find_latest_checkpoint(str(tmp_path))
    assert state(Path(latest))["meta"]["iter"] == ITERATIONS
    assert "mIoU" in run("dist_test.sh", tasks["seg"], latest, 2, *options, *norms)


def norm_types(config: Path) -> list[str]:
    """Keys of the synchronised norms, which work on GPUs only."""
    cfg = Config.fromfile(config)
    return [key for key, value in synthetic.leaves("model", cfg.model) if value == "SyncBN"]
