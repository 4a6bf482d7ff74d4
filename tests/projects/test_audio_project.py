"""The audio project as a newcomer runs it: prepare, train, test, study, report, predict."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS

from helpers.catalogue import skip_without
from helpers.provocations import load_tool
from helpers.sounds import PROJECT, RATE, TONES, small, tone, write_audioset, write_clips
from mmdcls.errors import InputError
from mmdcls.study.cells import config_of
from mmdcls.study.records import read_records
from mmdcls.study.run import run_cells
from projects.audio import predict, prepare, report, study
from projects.audio.audio.sounds import write_sound
from projects.audio.tables import ARMS, CLAIMS, NETWORKS, REFERENCE
from projects.position_study.preparation import prompts

CONFIGS = sorted((PROJECT / "configs").glob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_name_what_there_is(path):
    cfg = Config.fromfile(path)
    assert cfg.model.backbone.network in path.stem
    for split in ("train", "val", "test"):
        assert DATASETS.get(cfg[f"{split}_dataloader"].dataset.type) is not None


@pytest.fixture
def trained(tmp_path) -> tuple[Path, Path]:
    """The config and the checkpoint of a short training by tools/train.py."""
    path = tmp_path / "config.py"
    small(NETWORKS["convnext"], write_clips(tmp_path / "clips"), tmp_path / "run").dump(path)
    load_tool("train").main([str(path)])
    return path, tmp_path / "run/iter_2.pth"


@pytest.mark.slow
def test_tools_train_and_test_it_and_it_predicts(trained, tmp_path, capsys):
    config, checkpoint = map(str, trained)
    # Runs of one name in one second would share a log.
    other = shutil.copy(config, tmp_path / "tested.py")
    load_tool("test").main([str(other), checkpoint])
    assert re.search(r"accuracy: +\d", capsys.readouterr().out)
    skip_without("captum")
    files = [tmp_path / "short.wav", tmp_path / "long.wav"]
    for file, seconds in zip(files, (0.3, 2.9), strict=True):
        write_sound(file, tone(1000, seconds), RATE)
    out = tmp_path / "pictures"
    predict.main([config, checkpoint, *map(str, files), "--out", str(out), "--device", "cpu"])
    said = capsys.readouterr().out
    assert re.search(rf"short.wav: ({'|'.join(TONES)}) 0\.\d\d\n", said)
    assert re.search(r"long.wav: \w+ 0\.\d\d, of its first 1.4 s", said)
    assert sorted(path.name for path in out.iterdir()) == ["long.png", "short.png"]
    for wrong, words in (
        ([str(files[0])] * 2, "Two files are called short"),
        ([str(tmp_path / "absent.wav")], "There is no .*absent.wav"),
        ([str(files[0]), "--stage", "7"], "--stage 7 is none of 1 to 4"),
    ):
        with pytest.raises(SystemExit, match=words):
            predict.main([config, checkpoint, *wrong, "--out", str(out), "--device", "cpu"])


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_the_published_recipe_trains(network, tmp_path):
    tables = write_audioset(tmp_path, seconds=1.5, rate=32000)
    cfg = Config.fromfile(PROJECT / "configs" / f"audioset_{network}.py")
    cfg.model.backbone.update(widths=(8, 16, 32, 64), depths=(1, 1, 1, 1), num_classes=3)
    cfg.param_scheduler = []
    cfg.train_cfg.max_epochs = 1
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.dataset.update(tables, clips=str(tmp_path / "clips"), seconds=1.5)
    cfg.train_dataloader.dataset.segments = [tables["segments"]] * 2
    cfg.work_dir = str(tmp_path / "run")
    path = tmp_path / f"{network}.py"
    cfg.dump(path)
    load_tool("train").main([str(path)])
    (log,) = (tmp_path / "run").glob("*/vis_data/scalars.json")
    figures = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"mAP", "AUC", "d_prime"} <= figures[-1].keys()
    assert np.isfinite(figures[0]["loss"])
    saved = torch.load(tmp_path / "run/epoch_1.pth", weights_only=True)
    assert tuple(saved["meta"]["dataset_meta"]["classes"]) == ("Speech, all", "Music", "Dog")


class Half(torch.nn.Module):
    """Hears the second half of a spectrogram for class 1, the first for class 0."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = torch.nn.Module()
        self.backbone.stages = torch.nn.ModuleList([torch.nn.Conv2d(1, 1, 1, bias=False)])
        torch.nn.init.ones_(self.backbone.stages[0].weight)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        maps = self.backbone.stages[0](inputs)
        half = maps.shape[-1] // 2
        return torch.stack([maps[..., :half].sum((1, 2, 3)), maps[..., half:].sum((1, 2, 3))], 1)


def test_heat_is_where_the_label_was_heard():
    skip_without("captum")
    inputs = torch.zeros(1, 1, 8, 20)
    inputs[..., 2:4, 14:16] = 1
    heat = predict.heat_of(Half(), inputs, label=1)
    assert heat.shape == (8, 20) and heat.max() == 1
    assert (heat > 0).equal(inputs[0, 0] > 0)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_cells_of_every_arm_train(network, tmp_path):
    config = tmp_path / f"{network}.py"
    small(NETWORKS[network], write_clips(tmp_path / "clips"), tmp_path / "run").dump(config)
    cells = study.cells_of(range(1), [network])
    chosen = [replace(cell, config=config) for cell in cells]
    outcome = run_cells(chosen, tmp_path / "results", 0)
    assert outcome.failed == []
    records = list(read_records(tmp_path / "results").values())
    assert len(records) == len(ARMS) and all(record["steps"] == 2 for record in records)
    counts = [record["parameters"] for record in records]
    assert max(counts) < 1.02 * min(counts)
    page, picture = report.write_report(tmp_path / "results")
    assert "| --- |" in page.read_text() and picture.is_file()


def test_seeds_are_outermost_and_arms_differ_in_kernels_and_rates_alone():
    cells = study.cells_of(range(2))
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)
    assert {claim.arm for claim in CLAIMS} | {claim.than for claim in CLAIMS} <= ARMS.keys()
    configs = {cell.arm: config_of(cell).to_dict() for cell in cells if cell.data == "convnext"}
    assert configs[REFERENCE]["model"]["backbone"]["dcls"] is None
    for cfg in configs.values():
        cfg["model"]["backbone"].pop("dcls")
        cfg["optim_wrapper"].pop("paramwise_cfg")
    assert all(cfg == configs[REFERENCE] for cfg in configs.values())


def invented(network: str, arm: str, seed: int, accuracy: float) -> dict:
    figures = dict(accuracy=accuracy, mAP=95.0)
    costs = dict(parameters=10, multiply_adds=10, seconds_per_step=0.1, before={}, after={})
    names = dict(table="prompts", data=network, arm=arm, seed=seed, steps=300, device="this")
    return names | costs | dict(validation=figures, test=figures)


def test_claims_are_judged_by_paired_intervals():
    noise = (0.0, 1.0, -2.0)
    records = [
        invented(network, arm, seed, 85 + noise[seed] + gain + 0.1 * seed * gain)
        for network in NETWORKS
        for arm, gain in zip(ARMS, (0, 2, 0, -2, 0), strict=True)
        for seed in range(3)
    ]
    rows = {line.split(" | ")[0]: line for line in report.summary_of(records).splitlines()}
    assert "| holds | +2.2 [" in rows["| Gaussian 23x23 beats dense 7x7"]
    assert "| does not hold | -4.4 [" in rows["| Gaussian gains from positions that travel"]
    assert "| cannot be said | +0.0 [" in rows["| bilinear 23x23 beats dense 7x7"]
    assert "to be reached is 80" in report.summary_of(records)
    assert "below it are 0 of 45 trainings" in report.summary_of(records)
    low = report.summary_of([*records, invented("fastvit", "dense-7", 3, 70)])
    assert "below it is 1 of 46 trainings, the lowest with 70.0 (FastViT, dense-7, seed 3)" in low
    assert report.summary_of([]) == "Nothing is trained."
    with pytest.raises(InputError, match="no arm sparse of convnext"):
        report.summary_of([invented("convnext", "sparse", 0, 90)])
    broken = invented("convnext", "dense-7", 0, 90)
    broken["test"] = dict(accuracy=None)
    with pytest.raises(InputError, match="has no finite accuracy"):
        report.summary_of([broken])


def write_packages(folder: Path) -> None:
    """As Debian's packages unpack: the same prompts in every language."""
    for language in prompts.LANGUAGES:
        for number in range(30):
            path = folder / f"sounds/{language}_XX_f_Name/digits/{number}.wav"
            write_sound(path, tone(300 + 10 * number), RATE)


def test_prompts_become_files_and_a_table_split_by_prompt(tmp_path, monkeypatch):
    write_packages(tmp_path / "source")
    out = tmp_path / "out"
    arguments = ["--out", str(out), "--source", str(tmp_path / "source")]
    with pytest.raises(SystemExit, match="clips differ"):
        prepare.main(arguments)
    assert not out.exists()
    monkeypatch.setattr(prepare, "check_digest", lambda what, arrays, known: None)
    prepare.main(arguments)
    rows = list(csv.DictReader((out / "labels.csv").open()))
    assert len(rows) == 150 and all((out / row["file"]).is_file() for row in rows)
    parts = {}
    for row in rows:
        assert row["file"].startswith(f"{row['label']}/")
        parts.setdefault(Path(row["file"]).name, set()).add(row["part"])
    assert all(len(found) == 1 for found in parts.values())
    cfg = Config.fromfile(NETWORKS["convnext"])
    dataset = cfg.train_dataloader.dataset
    dataset.table = str(out / "labels.csv")
    clips = DATASETS.build(dataset)
    assert clips.metainfo["classes"] == prompts.LANGUAGES
    assert clips[0]["inputs"].shape == (16000,)
    assert len(np.unique([row["part"] for row in rows])) == 3


def test_predictions_of_a_classifier_are_of_single_clips():
    backbone = dict(
        type="audio.SpectrogramNetwork",
        network="convnext",
        num_classes=3,
        depths=(1, 1, 1, 1),
        widths=(4, 8, 16, 32),
    )
    inputs, labels = torch.randn(2, 1, 32, 128), torch.eye(3)[:2]
    for multi_label in (False, True):
        config = dict(type="audio.SoundClassifier", backbone=backbone, multi_label=multi_label)
        model = MODELS.build(config).eval()
        found = model(inputs, labels, mode="predict")
        assert [set(one) for one in found] == [{"scores", "labels"}] * 2
        scores = torch.stack([one["scores"] for one in found])
        assert ((scores > 0) & (scores < 1)).all()
        assert multi_label or scores.sum(1).allclose(torch.ones(2))
        logits = model(inputs)
        likelihood = labels * scores.log() + (multi_label * (1 - labels) * (1 - scores).log())
        expected = -likelihood.mean() if multi_label else -likelihood.sum(1).mean()
        torch.testing.assert_close(model(inputs, labels, mode="loss")["loss"], expected)
        assert logits.shape == (2, 3)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            half = model(inputs, labels, mode="predict")
        assert {one["scores"].dtype for one in half} == {torch.float32}
