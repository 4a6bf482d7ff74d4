import json
import re
from functools import partial

import pytest
import torch

from helpers.provocations import load_tool, new_trial
from helpers.published_convnext import saved
from helpers.studied import write_config
from mmdcls.study.records import read_records, write_record
from mmdcls.study.run import run_cells
from mmdcls.study.training import train_cell

sweep = load_tool("analysis_tools/sweep_kernel_size")


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """The cells that a sweep trains, in this process, in their order."""
    monkeypatch.chdir(tmp_path)
    cells = []

    def train(cell):
        cells.append((cell.arm, cell.seed))
        return train_cell(cell)

    def run(cells, folder, workers, device, seconds):
        return run_cells(cells, folder, 0, device, seconds, train)

    monkeypatch.setattr(sweep, "run_cells", run)
    return cells


def rows_of(text):
    return [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]


def test_a_sweep_trains_every_size_and_adds_what_is_asked_for_later(trained, tmp_path, capsys):
    config = str(write_config(tmp_path / "noise.py"))
    sweep.main([config, "--sizes", "5", "9", "--seeds", "2"])
    assert trained == [("4-in-5", 0), ("4-in-9", 0), ("4-in-5", 1), ("4-in-9", 1)]
    sweep.main([config, "--sizes", "5", "9", "13", "--counts", "4", "6", "--seeds", "2"])
    assert len(trained) == len(set(trained)) == 12
    folder = tmp_path / "work_dirs/sweep_noise"
    text = (folder / "sweep.md").read_text()
    assert text in capsys.readouterr().out
    rows = rows_of(text)
    assert [row[:3] for row in rows[2:]] == [
        [f"| {count}", str(size), "2"] for count in (4, 6) for size in (5, 9, 13)
    ]
    # The smallest is compared with nothing; the others with it.
    assert [row[4] == "" for row in rows[2:]] == [True, False, False] * 2
    assert "With 6 elements, " in text
    assert (folder / "sweep.png").stat().st_size > 5000
    assert all(record["test"] == {} for record in read_records(folder).values())


def test_options_are_part_of_what_is_trained(trained, tmp_path):
    config = str(write_config(tmp_path / "noise.py"))
    sweep.main([config, "--sizes", "5", "9", "--seeds", "1"])
    sweep.main([config, "--sizes", "5", "--seeds", "1", "--cfg-options", "train_cfg.max_iters=3"])
    assert len(trained) == 3
    folder = tmp_path / "work_dirs/sweep_noise"
    assert {record["arm"]: record["steps"] for record in read_records(folder).values()} == {
        "4-in-5": 3,
        "4-in-9": 2,
    }
    # What was trained otherwise is not compared.
    assert len(rows_of((folder / "sweep.md").read_text())) == 3


@pytest.mark.parametrize(
    ("more", "given", "words"),
    [
        ("model['backbone'] = dict(type='Other')", [], "no mmdcls.DclsConvNeXt"),
        ("", ["--metric", "mIoU"], "The validation gives loss; name one of them as --metric"),
        (
            "model['second'] = dict(model['backbone'], kernel_count=9)",
            [],
            "different kernel_count (model.backbone 4, model.second 9)",
        ),
        ("param_scheduler = [dict(type='ReduceOnPlateauLR')]", [], "validated once, at its end"),
        ("", ["--sizes", "0"], "2 cells failed, the first trainings: size, 4-in-0, seed 0"),
    ],
)
def test_what_cannot_be_swept_is_told(trained, tmp_path, more, given, words):
    config = str(write_config(tmp_path / "noise.py", more))
    with pytest.raises(SystemExit) as ended:
        sweep.main([config, "--sizes", "5", "--seeds", "2", *given])
    assert words in str(ended.value)


STARTS = {
    "model.backbone.init_cfg": "model['backbone']['init_cfg'] = {start}",
    "model.init_cfg": "model['init_cfg'] = [dict(type='Constant', val=0, layer='Conv2d'), {start}]",
    "load_from": "load_from = {file!r}",
}


@pytest.mark.parametrize("place", STARTS)
@pytest.mark.parametrize("name", ["stages.0.0.dwconv.P", "stages.0.positions"])
def test_a_start_from_trained_elements_is_refused(trained, name, place, tmp_path):
    file = saved({name: torch.zeros(2, 4, 1, 4)}, tmp_path)
    start = f"dict(type='mmdcls.Pretrained', checkpoint={file!r})"
    more = STARTS[place].format(start=start, file=file)
    config = str(write_config(tmp_path / "noise.py", more))
    with pytest.raises(SystemExit, match=rf"kernels of one size.*--cfg-options {place}=None"):
        sweep.main([config])
    assert not trained


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model.decode_head.num_classes": 5}, "num_classes=5"),
        ({"model.decode_head.in_channels": [8, 8, 8, 8]}, "made for in_channels="),
    ],
)
def test_what_training_refuses_a_sweep_refuses_first(change, words, trained, tmp_path):
    trial = new_trial("seg", tmp_path)
    trial.merge(change)
    trial.cfg.dump(tmp_path / "mine.py")
    with pytest.raises(SystemExit, match=words):
        sweep.main([str(tmp_path / "mine.py"), "--seeds", "1"])
    assert not trained


def test_what_diverged_is_left_out_and_named(trained, tmp_path):
    config, folder = str(write_config(tmp_path / "noise.py")), tmp_path / "work_dirs/sweep_noise"
    given = [config, "--sizes", "5", "9", "--seeds", "1"]
    sweep.main(given)
    for size, words in ((9, "Left out, .*: 4-in-9, seed 0"), (5, "all diverged")):
        path = folder / f"trainings/size.4-in-{size}.0.json"
        record = json.loads(path.read_text())
        record["validation"]["loss"] = None
        write_record(path, record)
        if size == 9:
            sweep.main(given)
            assert re.search(words, (folder / "sweep.md").read_text())
        else:
            with pytest.raises(SystemExit, match=words):
                sweep.main(given)


def test_records_of_other_studies_are_left_alone(trained, tmp_path):
    config, folder = str(write_config(tmp_path / "noise.py")), tmp_path / "work_dirs/sweep_noise"
    sweep.main([config, "--sizes", "5", "--seeds", "1"])
    (record,) = read_records(folder).values()
    write_record(folder / "pays/noise.learned.0.json", dict(record, table="pays", arm="learned"))
    sweep.main([config, "--sizes", "5", "--seeds", "1"])
    assert len(rows_of((folder / "sweep.md").read_text())) == 3


def test_the_figure_that_judges():
    choose = partial(sweep.chosen_metric, None)
    assert choose(dict(aAcc=1.0, mIoU=2.0, mAcc=3.0)) == "mIoU"
    assert choose({"coco/bbox_mAP": 0.1, "coco/segm_mAP": 0.1}) == "coco/segm_mAP"
    assert choose(dict(anything=1.0)) == "anything"
    assert sweep.chosen_metric("aAcc", dict(aAcc=1.0, mIoU=2.0)) == "aAcc"
    with pytest.raises(ValueError, match="gives one, two; name one"):
        choose(dict(one=1.0, two=2.0))
