"""What training does to waveforms, and to spectrograms with their labels, on whole batches.

Random numbers are those of torch's generator on the CPU, the same on every device.
"""

import torch
from torch import Tensor
from torch.distributions import Beta


def rolled(waveforms: Tensor, most: int) -> Tensor:
    """Each clip shifted by up to `most` samples, round the end."""
    length = waveforms.shape[1]
    shifts = torch.randint(-most, most + 1, (len(waveforms), 1)).to(waveforms.device)
    places = (torch.arange(length, device=waveforms.device) - shifts) % length
    return waveforms.gather(1, places)


def at_other_speeds(waveforms: Tensor, factors: tuple[float, float], share: float) -> Tensor:
    """A share of the clips made longer by a random factor, the nearest sample taken, without a
    filter, as published; then cut or padded with silence, at a random place, to its length."""
    count, length = waveforms.shape
    chosen = torch.rand(count, 1) < share
    factor = torch.empty(count, 1).uniform_(*factors).where(chosen, torch.ones(()))
    whole = (length * factor).round()
    room = whole - length
    # Where in the changed clip the new one begins: before it, where that is shorter.
    start = (torch.rand(count, 1) * room).round()
    factor, whole, start = (x.to(waveforms.device) for x in (factor, whole, start))
    places = torch.arange(length, device=waveforms.device) + start
    source = (places / factor).round().long().clamp(0, length - 1)
    return waveforms.gather(1, source) * ((places >= 0) & (places < whole))


def mixed(inputs: Tensor, labels: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """A batch and the same in reverse order, in one random proportion for both (mixup).

    strength: both parameters of the Beta distribution of the proportion.
    """
    share = Beta(strength, strength).sample().item()
    return torch.lerp(inputs.flip(0), inputs, share), torch.lerp(labels.flip(0), labels, share)
