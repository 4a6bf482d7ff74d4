"""How the study's data are made: canvases, log-mel pictures, parts that have nothing in common."""

import gzip
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from projects.position_study import prepare
from projects.position_study.preparation import arrays, cells, garments, prompts


@pytest.fixture
def fashion() -> tuple[np.ndarray, np.ndarray]:
    """Rectangles, each as bright as its class, of a size of its own."""
    images, labels = np.zeros((40, 28, 28), np.uint8), np.arange(40, dtype=np.uint8) % 10
    for index, image in enumerate(images):
        image[4 : 10 + index // 4, 5:23] = 100 + 10 * labels[index]
    return images, labels


@pytest.mark.parametrize("scale", [1.0, 1.37, 2.2])
def test_enlarging_is_bilinear(scale):
    image = np.random.default_rng(0).integers(256, size=(28, 28), dtype=np.uint8)
    found = garments.enlarged(image, scale)
    size = (round(28 * scale),) * 2
    tensor = torch.from_numpy(image)[None, None].double()
    expected = F.interpolate(tensor, size, mode="bilinear", align_corners=False)[0, 0]
    # Places are rounded to 1/256 of a pixel along both axes.
    assert np.abs(found - expected.numpy()).max() <= 0.5 + 2 * 255 / 256


def test_a_canvas_shows_its_garment_whole_and_says_where(fashion):
    images, maps, labels = garments.canvases(*fashion, 30, seed=0, name="")
    assert images.shape == (30, 1, 64, 64) and maps.shape == (30, 64, 64)
    for image, label_map, label in zip(images[:, 0], maps, labels, strict=True):
        assert set(np.unique(label_map)) == {0, 1 + label}
        # Rectangles stay rectangles, but for faint corners, and nothing lies on them.
        rows, columns = np.nonzero(label_map)
        area = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert area - 8 <= len(rows) <= area >= 6 * 18
        assert image[label_map > 0].max() <= 100 + 10 * label
    assert (images[:, 0][maps == 0] > 0).any()


def test_pieces_are_of_other_classes(fashion):
    _, labels = fashion
    random = np.random.RandomState(0)
    found = {labels[garments.other_class(labels, 3, random)] for _ in range(200)}
    assert found == set(range(10)) - {3}


def test_the_same_seed_makes_the_same_canvases(fashion):
    first, again, other = (garments.canvases(*fashion, 5, seed, "") for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not (first[0] == other[0]).all()


def write_fashion(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    for prefix in ("train", "t10k"):
        for kind, header, array in (("images-idx3", 16, images), ("labels-idx1", 8, labels)):
            content = gzip.compress(bytes(header) + array.tobytes())
            (folder / f"{prefix}-{kind}-ubyte.gz").write_bytes(content)


def test_other_garments_than_those_of_the_results_are_refused(fashion, tmp_path, monkeypatch):
    write_fashion(tmp_path, *fashion)
    monkeypatch.setattr(garments, "COUNTS", dict(training=3, validation=2, test=4))
    monkeypatch.setattr(garments, "HELD_BACK", 10)
    out = tmp_path / "out"
    arguments = ["garments", "--out", str(out), "--source", str(tmp_path)]
    with pytest.raises(SystemExit, match="canvases differ .* fetch the source again"):
        prepare.main(arguments)
    assert not out.exists()
    found = {}
    monkeypatch.setattr(garments, "check_digest", lambda what, arrays, known: found.update(arrays))
    prepare.main(arguments)
    with np.load(out / "garments.npz") as written:
        assert arrays.digest_of(dict(written)) == arrays.digest_of(found)
    assert [path.name for path in out.iterdir()] == ["garments.npz"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["robes"], "robes is unknown"),
        (["garments", "--source", "absent"], "absent is not there"),
        (["garments", "cells", "--source", "."], "name one"),
    ],
)
def test_wrong_arguments_are_named(names, words, capsys):
    with pytest.raises(SystemExit):
        prepare.main(names)
    assert words in capsys.readouterr().err


def tone(frequency: float, seconds: float = 2.0, volume: float = 0.5) -> np.ndarray:
    time = np.arange(int(seconds * prompts.RATE)) / prompts.RATE
    clip = np.zeros(prompts.LENGTH, np.int16)
    clip[: len(time)] = np.round(volume * 2**15 * np.sin(2 * np.pi * frequency * time))
    return clip


@pytest.mark.parametrize("frequency", [300, 1000, 3000])
def test_a_tone_is_loudest_in_the_band_it_belongs_to(frequency):
    picture = prompts.picture_of(tone(frequency))
    assert picture.shape == (64, 200)
    assert (picture.argmax(0) == prompts.mel_bands()[:, frequency * 512 // 8000].argmax()).all()
    assert picture.max() == 255


def test_padding_and_a_tone_sixty_decibels_down_are_the_floor():
    picture = prompts.picture_of(tone(1000, seconds=1.0))
    assert (picture[:, 103:] == 0).all() and (picture[:, :98].max(0) > 200).all()
    softer = tone(1000, 1.0) + np.roll(tone(2500, 0.9, volume=3e-4), 8000)
    assert (prompts.picture_of(softer)[:, 103:] == 0).all()
    louder = tone(1000, 1.0) + np.roll(tone(2500, 0.9, volume=3e-3), 8000)
    assert (prompts.picture_of(louder)[:, 103:].max() > 0).all()


def test_every_band_hears_something():
    assert (prompts.mel_bands().sum(1) > 0.5).all()


def test_a_prompt_is_in_one_part_in_all_languages(tmp_path, monkeypatch):
    names = [f"digits/{number}" for number in range(30)]
    for folder in ("en_US_f_A", "es_MX_f_A", "fr_CA_f_B", "it_IT_m_C", "ru_RU_f_D"):
        for name in [*names, "silence/1", "digits/short"]:
            path = tmp_path / folder / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            with wave.open(str(path), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(8000)
                clip = tone(500, 1.0)[: 1000 if name == "digits/short" else 9000]
                file.writeframes(clip.astype("<i2").tobytes())
    monkeypatch.setattr(prompts, "check_digest", lambda *_: None)
    prompts.prepare(tmp_path / "out", tmp_path)
    with np.load(tmp_path / "out" / "prompts.npz") as written:
        counts = {part: np.bincount(written[f"{part}_labels"]) for part in arrays.PARTS}
    for part, count in counts.items():
        expected = sum(prompts.part_of(name) == part for name in names)
        assert expected > 0 and count.tolist() == [expected] * 5


def test_no_column_of_cells_is_in_two_parts():
    (_, end), *others = cells.COLUMNS.values()
    for start, after in others:
        assert start - end >= 32
        end = after
