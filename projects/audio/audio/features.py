"""Log-mel spectrograms, on the device where the waveforms are.

By torch's own Fourier transform: torchaudio cannot be imported beside a torch for CPUs, librosa
computes in numpy, and nnAudio convolves where a Fourier transform costs less.
"""

import torch
from torch import Tensor, nn

from projects.position_study.preparation.prompts import mel_bands

# Power of digital silence; -100 dB.
LEAST_POWER = 1e-10


class LogMel(nn.Module):
    """Spectrograms in decibels, of waveforms of full scale 1.

    rate: samples a second; window, hop: in samples; bins: length of the Fourier transform, the
        window padded with zeros, None for the window's own.
    bands: triangles of height 1, equally wide on HTK's mel scale, between two `frequencies` in Hz.
    decibels: of a clip, all that is so far and further below its loudest cell counts as that far
        below, and the loudest cell as 0; None leaves levels as they are.

    The definition is that of torchaudio's Spectrogram, MelScale and AmplitudeToDB by default: Hann,
    centred frames, reflected ends, power, no norm of the bands.
    """

    def __init__(
        self,
        rate: int,
        window: int,
        hop: int,
        bands: int,
        frequencies: tuple[float, float],
        bins: int | None = None,
        decibels: float | None = None,
    ) -> None:
        super().__init__()
        self.rate, self.hop, self.bins, self.decibels = rate, hop, bins or window, decibels
        mel = mel_bands(rate, self.bins, bands, frequencies)
        self.register_buffer("mel", torch.from_numpy(mel).float(), persistent=False)
        self.register_buffer("hann", torch.hann_window(window), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        """(N, samples) to (N, 1, bands, samples // hop + 1), the lowest band first."""
        return self.levels(self.power(waveforms))

    def power(self, waveforms: Tensor) -> Tensor:
        """(N, bins // 2 + 1, frames)"""
        spectrum = torch.stft(
            waveforms,
            self.bins,
            self.hop,
            win_length=len(self.hann),
            window=self.hann,
            center=True,
            return_complex=True,
        )
        return spectrum.real.square() + spectrum.imag.square()

    def levels(self, power: Tensor) -> Tensor:
        levels = 10 * (self.mel @ power).clamp_min(LEAST_POWER).log10()[:, None]
        if self.decibels is None:
            return levels
        return (levels - levels.amax((1, 2, 3), keepdim=True)).clamp_min(-self.decibels)
