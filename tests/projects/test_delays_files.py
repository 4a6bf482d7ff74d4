"""SHD, SSC and GSC: files of their layouts, and the published network trained on them."""

import hashlib
import wave
import zipfile

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmdcls.dcls import position_owners
from mmdcls.errors import InputError
from projects.delays import prepare_heidelberg
from projects.delays.delays import SpeechCommands, SpikeFile
from projects.delays.tables import CONFIGS

CLIPS = [
    ([0.0, 0.0049, 0.011, 1.3], [0, 4, 699, 5]),
    ([0.5], [10]),
    ([], []),
    ([0.021, 2.0], [1, 1]),
    ([0.3, 0.3], [350, 351]),
    ([0.3], [3]),
]
SPEAKERS = [0, 3, 3, 7, 9, 0]


def words(folder, rate=16000):
    """Two words by three speakers, the second for validation and the third for test."""
    time = np.arange(8000) / rate
    for index, word in enumerate(("left", "right")):
        for speaker in range(3):
            path = folder / word / f"{speaker}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            tone = np.sin(2 * np.pi * (500 + 1500 * index) * time)
            with wave.open(str(path), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(rate)
                file.writeframes((tone * 9000).astype("<i2").tobytes())
    (folder / "_background_noise_").mkdir(exist_ok=True)
    for speaker, part in ((1, "validation"), (2, "testing")):
        lines = [f"{word}/{speaker}.wav" for word in ("left", "right")]
        (folder / f"{part}_list.txt").write_text("\n".join(lines))
    return str(folder)


def test_speech_commands_are_in_three_parts_of_different_speakers(tmp_path):
    folder = words(tmp_path / "words")
    for part, speaker in dict(training=0, validation=1, test=2).items():
        data = SpeechCommands(folder, part)
        assert data.names == [f"left/{speaker}.wav", f"right/{speaker}.wav"]
    batch = data.__getitems__([0, 1])
    assert batch["inputs"].shape == (2, 140, 100) and batch["labels"].tolist() == [0, 1]
    # Half a second of a tone, and then silence.
    loudest = batch["inputs"].sum(2).argmax(1)
    assert loudest[0] < loudest[1]
    assert (batch["inputs"][..., :49].amax(1) > 1).all() and (batch["inputs"][..., 51:] == 0).all()
    with pytest.raises(InputError, match="has no validation_list.txt, testing_list.txt"):
        SpeechCommands(str(tmp_path), "test")
    with pytest.raises(InputError, match="is not of 16 kHz"):
        SpeechCommands(words(tmp_path / "slow", rate=8000), "test")[0]
    path = data.root / data.names[0]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="is cut short"):
        data[0]


def write_file(path, clips=CLIPS, speakers=SPEAKERS):
    h5py = pytest.importorskip("h5py")
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, kind, column in (("times", "f2", 0), ("units", "u2", 1)):
            data = file.create_dataset(
                f"spikes/{name}", (len(clips),), h5py.vlen_dtype(np.dtype(kind))
            )
            for index, clip in enumerate(clips):
                data[index] = np.array(clip[column], kind)
        file["labels"] = np.arange(len(clips), dtype="u2")
        file["extra/speaker"] = np.array(speakers, "u2")
        file["extra/keys"] = np.array([b"zero", b"one"])
    return str(path)


@pytest.mark.parametrize("pooled", [1, 5])
def test_spikes_are_counted_on_a_grid_of_time(tmp_path, pooled):
    data = SpikeFile(write_file(tmp_path / "a.h5"), pooled=pooled)
    batch = data.__getitems__(list(range(6)))
    assert batch["inputs"].shape == (6, 700 // pooled, 140)
    assert batch["labels"].tolist() == list(range(6))
    for raster, (times, units) in zip(batch["inputs"], CLIPS, strict=True):
        expected = torch.zeros_like(raster)
        for time, unit in zip(times, units, strict=True):
            if time < 1.4:
                expected[unit // pooled, int(float(np.float16(time)) * 100)] += 1
        assert torch.equal(raster, expected)


def test_validation_is_of_speakers_that_training_has_not(tmp_path):
    file = write_file(tmp_path / "a.h5")
    parts = {part: SpikeFile(file, speakers=part) for part in ("others", "held_out")}
    # The last two by number are 7 and 9.
    assert parts["others"].labels.tolist() == [0, 1, 2, 5]
    assert parts["held_out"].labels.tolist() == [3, 4]
    assert len(SpikeFile(file)) == 6
    with pytest.raises(ValueError, match="speakers='some'"):
        SpikeFile(file, speakers="some")
    for held_out in (0, 4):
        with pytest.raises(InputError, match=f"held_out={held_out} of the 4 speakers"):
            SpikeFile(file, speakers="others", held_out=held_out)


def test_a_clip_turned_round_has_the_same_frames(tmp_path):
    file = write_file(tmp_path / "a.h5")
    batch = SpikeFile(file, turned=True).__getitems__([2 * 4, 2 * 4 + 1])
    assert torch.equal(batch["inputs"][1], batch["inputs"][0].flip(-1))
    assert batch["labels"].tolist() == [8, 9]


def test_files_that_are_not_there_or_others_are_told(tmp_path):
    with pytest.raises(InputError, match="There is no .*zenkelab.org"):
        SpikeFile(str(tmp_path / "none.h5"))
    h5py = pytest.importorskip("h5py")
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(InputError, match="text.h5 cannot be read"):
        SpikeFile(str(tmp_path / "text.h5"))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["labels"] = [1]
    with pytest.raises(InputError, match="has no spikes/times, spikes/units, extra/speaker"):
        SpikeFile(str(tmp_path / "other.h5"))
    for clip in (([0.1, 0.2], [1]), ([0.1], [700])):
        with pytest.raises(InputError, match=r"Clip 0 of .* has \d times and 1 units"):
            SpikeFile(write_file(tmp_path / "odd.h5", [clip], [0]))[0]
    with pytest.raises(InputError, match=r"1 spikes/times, .* 2 extra/speaker, and not one"):
        SpikeFile(write_file(tmp_path / "odd.h5", CLIPS[:1], [0, 1]))
    with pytest.raises(ValueError, match="pooled=3 must divide the 700"):
        SpikeFile(write_file(tmp_path / "odd.h5"), pooled=3)


def test_archives_are_known_by_their_md5(tmp_path, monkeypatch):
    archive = tmp_path / "shd_test.h5.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("shd_test.h5", b"spikes")
    with pytest.raises(SystemExit, match="has MD5 .* in place of 1503a506"):
        prepare_heidelberg.main([str(archive), "--out", str(tmp_path)])
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    monkeypatch.setitem(prepare_heidelberg.MD5, "shd_test", md5)
    prepare_heidelberg.main([str(archive), "--out", str(tmp_path)])
    assert (tmp_path / "shd_test.h5").read_bytes() == b"spikes"
    with pytest.raises(SystemExit, match="shd_train.h5.zip is not there"):
        prepare_heidelberg.main([str(tmp_path / "shd_train.h5.zip")])
    with pytest.raises(SystemExit, match="nmnist.h5.zip is not known"):
        prepare_heidelberg.main(["nmnist.h5.zip"])


@pytest.mark.parametrize(
    ("name", "size", "layers"), [("shd", 25, 3), ("ssc", 31, 4), ("gsc", 31, 4)]
)
def test_the_published_network_trains_on_such_files(name, size, layers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name == "gsc":
        words(tmp_path / "data/speech_commands")
    else:
        for part in ("train", "valid", "test"):
            write_file(tmp_path / f"data/delays/{name}_{part}.h5")
    cfg = Config.fromfile(CONFIGS / f"{name}.py")
    cfg.merge_from_dict(
        {
            "train_cfg.max_epochs": 2,
            "train_dataloader.batch_size": 3,
            "work_dir": str(tmp_path / "work"),
            "log_level": "ERROR",
            "default_hooks.logger": None,
            "experiment_name": f"delays_{name}_{tmp_path.name}",
        }
    )
    cfg.model.hidden = [4] * len(cfg.model.hidden)
    runner = Runner.from_cfg(cfg)
    runner.train()
    runner.test()
    owners = position_owners(runner.model).values()
    assert len(owners) == layers and all(owner.kernel_size == (size,) for owner in owners)
