from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from .augmentation import at_other_speeds, mixed, rolled
from .features import LogMel
from .registry import MODELS


@MODELS.register_module()
class SpectrogramPreprocessor(BaseDataPreprocessor):
    """Makes spectrograms of a batch of clips, on the model's device; in training, after changing
    them.

    features: arguments of `LogMel`; mean, std: of its levels.
    roll: largest shift of a waveform in seconds, round the end.
    speed: dict(factors=(least, most), share=...): so many clips are made shorter or longer.
    erase: share of clips in whose power spectrum a random rectangle becomes silence (timm's random
        erasing).
    mixup: strength of mixup; 0 mixes nothing.
    smoothing: of labels, which give up this share of what they are, of which every class gets its
        part, with several labels a clip as well.
    """

    def __init__(
        self,
        features: dict,
        mean: float,
        std: float,
        roll: float = 0.0,
        speed: dict | None = None,
        erase: float = 0.0,
        mixup: float = 0.0,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.features = LogMel(**features)
        self.mean, self.std = mean, std
        self.roll, self.speed, self.erase, self.mixup = roll, speed, erase, mixup
        self.smoothing = smoothing

    def forward(self, data: dict[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        """data: inputs (N, samples), int16 or float of full scale 1, and labels (N, classes)."""
        data = self.cast_data(data)
        inputs, labels = as_waveforms(data["inputs"]), data["labels"].float()
        if not training:
            return dict(inputs=self.standardised(self.features(inputs)), labels=labels)
        if self.roll:
            inputs = rolled(inputs, round(self.roll * self.features.rate))
        if self.speed:
            inputs = at_other_speeds(inputs, **self.speed)
        power = self.features.power(inputs)
        if self.erase:
            power = erased(power[:, None], self.erase)[:, 0]
        inputs = self.standardised(self.features.levels(power))
        if self.smoothing:
            labels = (1 - self.smoothing) * labels + self.smoothing / labels.shape[1]
        if self.mixup:
            inputs, labels = mixed(inputs, labels, self.mixup)
        return dict(inputs=inputs, labels=labels)

    def standardised(self, levels: Tensor) -> Tensor:
        return (levels - self.mean) / self.std


def as_waveforms(samples: Tensor) -> Tensor:
    return samples if samples.is_floating_point() else samples.float() / 2**15


def erased(maps: Tensor, share: float) -> Tensor:
    # Whoever erases nothing needs no timm for it.
    from timm.data.random_erasing import RandomErasing

    return RandomErasing(share, mode="const", device=maps.device)(maps)
