"""What the audio project makes of sound: spectrograms, their augmentation; and its figures."""

import numpy as np
import pytest
import torch
from scipy import signal
from sklearn.metrics import average_precision_score, roc_auc_score

from helpers.sounds import RATE, tone
from mmdcls.errors import InputError
from projects.audio.audio import LogMel, SoundMetric
from projects.audio.audio.augmentation import at_other_speeds, mixed, rolled
from projects.audio.audio.preprocessor import SpectrogramPreprocessor
from projects.position_study.preparation.prompts import mel_bands

PUBLISHED_FEATURES = dict(rate=32000, window=1024, hop=320, bands=128, frequencies=(50, 14000))
FEATURES = dict(rate=RATE, window=256, hop=80, bands=32, frequencies=(50, 3800))


def waveforms(count: int = 2, seconds: float = 0.5, rate: int = RATE) -> torch.Tensor:
    return torch.randn(count, round(seconds * rate)).clamp(-1, 1)


@pytest.mark.parametrize(("window", "bins"), [(256, None), (200, 512)])
def test_power_is_that_of_scipy(window, bins, device):
    features = LogMel(**(FEATURES | dict(window=window)), bins=bins).double().to(device)
    clips = waveforms().double()
    options = dict(nperseg=window, noverlap=window - 80, nfft=bins, boundary="even", padded=False)
    _, _, spectrum = signal.stft(clips.numpy(), window="hann", **options)
    expected = np.abs(spectrum * signal.windows.hann(window, sym=False).sum()) ** 2
    found = features.power(clips.to(device)).cpu()
    # Its window is of single precision.
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("frequency", [600, 1000, 3000])
def test_a_tone_is_loudest_in_the_band_it_belongs_to(frequency, device):
    features = LogMel(**FEATURES).to(device)
    levels = features(torch.from_numpy(tone(frequency) / 2**15).float()[None].to(device))
    assert levels.shape == (1, 1, 32, 51)
    band = mel_bands(RATE, 256, 32, (50, 3800))[:, round(frequency * 256 / RATE)].argmax()
    assert (levels[0, 0, :, 2:-2].argmax(0) == band).all()


def test_bands_are_triangles_that_meet_at_their_feet():
    bands = mel_bands(RATE, 4096, 32, (50, 3800))
    peaks = bands.argmax(1)
    assert (np.diff(peaks) > 0).all() and (bands.max(1) > 0.9).all()
    between = slice(peaks[0] + 1, peaks[-1])
    assert bands.sum(0)[between] == pytest.approx(1)


def test_levels_are_decibels_and_silence_is_the_least():
    features = LogMel(**FEATURES)
    clip = waveforms(1)
    louder, softer = features(clip), features(clip / 10)
    torch.testing.assert_close(louder - 20, softer, rtol=1e-4, atol=1e-3)
    assert (features(torch.zeros_like(clip)) == -100).all()
    relative = LogMel(**FEATURES, decibels=60.0)
    torch.testing.assert_close(relative(clip), relative(clip / 10), rtol=1e-4, atol=1e-3)
    assert relative(clip).max() == 0 and relative(clip * torch.linspace(0, 1, 4000)).min() == -60


def test_the_published_spectrogram_has_its_shape():
    assert LogMel(**PUBLISHED_FEATURES)(waveforms(1, 10.0, 32000)).shape == (1, 1, 128, 1001)


def test_a_rolled_clip_is_the_same_round_the_end():
    clips = waveforms(8)
    found = rolled(clips, 100)
    for clip, mine in zip(clips, found, strict=True):
        shifts = [s for s in range(-100, 101) if torch.equal(torch.roll(clip, s), mine)]
        assert len(shifts) == 1


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.25, 2.0])
def test_speed_changes_the_pitch_and_keeps_the_length(factor):
    clips = torch.from_numpy(tone(990) / 2**15).float().repeat(4, 1)
    found = at_other_speeds(clips, (factor, factor), share=1.0)
    assert found.shape == clips.shape
    for clip in found:
        heard = clip.nonzero().flatten()
        assert heard[-1] - heard[0] == pytest.approx(min(1, factor) * 4000, abs=10)
        spectrum = torch.fft.rfft(clip).abs()
        assert spectrum.argmax().item() == pytest.approx(990 / factor * 4000 / RATE, abs=2)


def test_only_a_share_changes_speed():
    clips = waveforms(400, 0.05)
    found = at_other_speeds(clips, (0.5, 1.5), share=0.5)
    same = (found == clips).all(1).float().mean().item()
    assert 0.4 < same < 0.6


def test_mixup_has_one_proportion_for_inputs_and_labels():
    inputs, labels = torch.randn(4, 1, 3, 3), torch.eye(4)
    mine, theirs = mixed(inputs, labels, 0.8)
    share = theirs[0, 0]
    assert 0 <= share <= 1
    torch.testing.assert_close(mine, share * inputs + (1 - share) * inputs.flip(0))
    torch.testing.assert_close(theirs, share * labels + (1 - share) * labels.flip(0))


def preprocessor(**options) -> SpectrogramPreprocessor:
    return SpectrogramPreprocessor(FEATURES, mean=-40.0, std=20.0, **options)


def test_only_training_changes_clips():
    everything = dict(roll=0.2, speed=dict(factors=(0.5, 1.5), share=1.0), erase=1.0, mixup=0.8)
    changing = preprocessor(**everything, smoothing=0.1)
    clips = (waveforms(4) * 2**15).to(torch.int16)
    data = dict(inputs=clips, labels=torch.eye(4))
    found = changing(data)
    levels = LogMel(**FEATURES)(clips.float() / 2**15)
    torch.testing.assert_close(found["inputs"], (levels + 40) / 20)
    assert torch.equal(found["labels"], torch.eye(4))
    changed = changing(data, training=True)
    assert changed["inputs"].shape == found["inputs"].shape
    assert (changed["inputs"] != found["inputs"]).any((1, 2, 3)).all()


def test_smoothing_gives_every_class_its_part():
    data = dict(inputs=waveforms(2), labels=torch.tensor([[1.0, 1, 0, 0], [0, 0, 0, 1]]))
    found = preprocessor(smoothing=0.1)(data, training=True)["labels"]
    torch.testing.assert_close(found, 0.9 * data["labels"] + 0.025)


def test_erasing_silences_a_rectangle():
    clips = dict(inputs=waveforms(6), labels=torch.eye(6))
    whole, erased = (preprocessor(erase=share)(clips, True)["inputs"] for share in (0.0, 1.0))
    least = (-100 + 40) / 20
    assert (erased <= whole).all() and (erased < whole).any((1, 2, 3)).all()
    # Where all of a band is within the rectangle.
    assert (erased == least).any() and (whole > least).all()


def test_figures_are_those_of_scikit_learn_over_the_classes_that_can_be_judged():
    random = np.random.default_rng(0)
    scores = random.random((40, 4)).astype(np.float32)
    labels = (random.random((40, 4)) < 0.3).astype(np.float32)
    labels[:, 3] = 0
    metric = SoundMetric()
    samples = [
        dict(scores=torch.from_numpy(score), labels=torch.from_numpy(label))
        for score, label in zip(scores, labels, strict=True)
    ]
    metric.process({}, samples)
    found = metric.evaluate(40)
    kept = [average_precision_score(labels[:, i], scores[:, i]) for i in range(3)]
    assert found["mAP"] == pytest.approx(100 * np.mean(kept))
    area = [roc_auc_score(labels[:, i], scores[:, i]) for i in range(3)]
    assert found["AUC"] == pytest.approx(100 * np.mean(area))
    assert "accuracy" not in found


def test_accuracy_is_told_where_a_clip_has_one_label():
    labels = torch.eye(3)[[0, 1, 2, 2]]
    scores = torch.eye(3)[[0, 1, 2, 0]]
    metric = SoundMetric()
    metric.process({}, [dict(scores=s, labels=t) for s, t in zip(scores, labels, strict=True)])
    assert metric.evaluate(4)["accuracy"] == 75
    metric.process({}, [dict(scores=torch.ones(2), labels=torch.ones(2))])
    with pytest.raises(InputError, match="nothing can be ranked"):
        metric.evaluate(1)
