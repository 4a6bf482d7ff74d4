"""How the audio project reads clips: files, folders with a table, AudioSet."""

import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.sounds import RATE, TONES, tone, write_audioset, write_clips
from mmdcls.errors import InputError
from projects.audio.audio import AudioSet, ClipFolder
from projects.audio.audio.sounds import fitted, read_sound, write_sound


def test_what_is_written_is_read(tmp_path):
    samples = tone(440)
    write_sound(tmp_path / "a/b.wav", samples, RATE)
    assert (read_sound(tmp_path / "a/b.wav", RATE) == samples).all()


def test_other_rates_and_several_channels_become_one(tmp_path):
    path = tmp_path / "stereo.wav"
    left, right = tone(440, rate=16000), np.zeros(8000, np.int16)
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 16000, 0, "NONE", ""))
        file.writeframes(np.stack([left, right], 1).tobytes())
    found, expected = read_sound(path, RATE), tone(440, volume=0.25)
    assert found.dtype == np.int16 and len(found) == 4000
    # But for the ends, where a filter sees beyond the sound.
    assert np.abs(found.astype(int) - expected)[100:-100].max() < 0.01 * 2**13


def test_clips_are_cut_or_padded_at_the_end():
    samples = np.arange(1, 6, dtype=np.int16)
    assert fitted(samples, 3).tolist() == [1, 2, 3]
    assert fitted(samples, 7).tolist() == [1, 2, 3, 4, 5, 0, 0]


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_folder_of_clips(tmp_path, in_memory):
    table = write_clips(tmp_path)
    clips = ClipFolder(str(table), RATE, 0.4, part="test", in_memory=in_memory)
    assert clips.metainfo["classes"] == tuple(sorted(TONES)) and len(clips) == 6
    for index, (path, _) in enumerate(clips.items):
        item = clips[index]
        assert path.parent.name == "test"
        assert torch.equal(item["inputs"], torch.from_numpy(read_sound(path, RATE)[:3200].copy()))
        (number,) = item["labels"].nonzero().flatten().tolist()
        assert path.stem.startswith(clips.metainfo["classes"][number])
    assert len(ClipFolder(str(table), RATE, 0.4)) == 18


def test_a_clip_may_have_several_labels(tmp_path):
    write_clips(tmp_path)
    table = tmp_path / "several.csv"
    table.write_text("file,label\ntest/low0.wav,low;loud\ntest/high0.wav,high\n")
    clips = ClipFolder(str(table), RATE, 0.5)
    assert clips.metainfo["classes"] == ("high", "loud", "low")
    assert clips[0]["labels"].tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (None, {}, "There is no .*run python -m projects.audio.prepare"),
        ("path,label\n", {}, "lacks the column file; its first line has path, label"),
        ("", {}, "has nothing"),
        ("file,label\na.wav,low\n", dict(part="test"), "lacks the column part"),
        ("file,label,part\na.wav,low,train\n", dict(part="test"), "part 'test'; there are train"),
        ("file,label,part\na.wav,low\n", dict(part="test"), "Line 2 of .* has fewer columns"),
        ("file,label\na.wav\n", {}, "Line 2 of .* has fewer columns"),
        ("file,label\na.wav,low;\n", {}, "an empty label of a.wav"),
        ("file,label\na.wav,f\udcfcr\n", {}, "is no text in UTF-8"),
        ("file,label\na.wav,low\n", dict(classes=["low", "low"]), "name one twice"),
        ("file,label\na.wav,low\n", dict(classes=["high"]), "label 'low' of a.wav"),
        ("file,label\na.wav,low\n", {}, "There is no .*a.wav"),
    ],
)
def test_tables_that_do_not_serve_are_told(text, options, words, tmp_path):
    table = tmp_path / "labels.csv"
    if text is not None:
        table.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InputError, match=words):
        ClipFolder(str(table), RATE, 0.5, **options)[0]


def test_tables_as_spreadsheets_write_them(tmp_path):
    write_clips(tmp_path)
    table = tmp_path / "several.csv"
    table.write_bytes('file,label\r\n"test/low0.wav","low; loud"\r\n'.encode("utf-8-sig"))
    clips = ClipFolder(str(table), RATE, 0.5)
    assert clips.metainfo["classes"] == ("loud", "low") and clips[0]["labels"].tolist() == [1, 1]


def test_audioset_as_it_is_published(tmp_path):
    tables = write_audioset(tmp_path)
    folder = dict(clips=str(tmp_path / "clips"))
    clips = AudioSet(**tables, **folder, rate=RATE, seconds=0.2)
    assert clips.metainfo["classes"] == ("Speech, all", "Music", "Dog")
    assert [clips[index]["labels"].tolist() for index in range(len(clips))] == [
        [1, 0, 1],
        [0, 1, 0],
    ]
    assert torch.equal(clips[1]["inputs"], torch.from_numpy(tone(1000, 0.2)))
    both = AudioSet(
        **tables | dict(segments=[tables["segments"]] * 2), clips=str(tmp_path / "clips")
    )
    assert len(both) == 4
    with pytest.raises(InputError, match=r"Of 3 segments .* none has a file"):
        AudioSet(**tables, clips=str(tmp_path), names="{id}_{start}.flac")
    with pytest.raises(InputError, match=r"may hold \{id\}, \{start\}, \{end\} alone"):
        AudioSet(**tables, **folder, names="{ytid}.wav")
    rows = Path(tables["segments"])
    rows.write_text(f"{rows.read_text()}\n\n", encoding="utf-8-sig")
    assert len(AudioSet(**tables, **folder)) == 2
    with pytest.raises(InputError, match="a row of 3 columns"):
        AudioSet(tables["classes"], tables["classes"], str(tmp_path))


def test_samples_that_are_not_finite_are_refused(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.wav", np.array([0.5, np.nan]), RATE, subtype="FLOAT")
    with pytest.raises(InputError, match="not finite"):
        read_sound(tmp_path / "a.wav", RATE)


def test_formats_of_others_need_a_library(tmp_path):
    path = tmp_path / "a.flac"
    path.write_bytes(b"fLaC and no more")
    with pytest.raises(InputError, match=r"a\.flac (is no WAV of 16 bits|cannot be read)"):
        read_sound(path, RATE)
