"""On how many pixels of real images an exported segmentor names the class that the model names."""

import copy
from typing import NamedTuple

import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS
from torch import Tensor

from mmdcls.checkpoint.trained import Trained
from mmdcls.data.paths import check_paths
from mmdcls.errors import InputError

from .exporting import Function
from .graphs import Graph, Segmentor


class Agreement(NamedTuple):
    equal: int
    pixels: int
    largest: float  # difference of a logit

    def __str__(self) -> str:
        return (
            f"the same class on {self.equal} of {self.pixels} pixels of the validation images "
            f"({100 * self.equal / self.pixels:.4f} %), logits at most {self.largest:.1e} apart"
        )


@torch.no_grad()
def agreement(
    trained: Trained, graph: Graph, function: Function, size: tuple[int, int] | None
) -> Agreement:
    """Run the config's validation images through mmseg's test, with the network and with the file.

    Raises InputError for other models than segmentors, and for images that are not there or that
    are of another size than the file takes.
    """
    if not isinstance(graph, Segmentor):
        raise InputError("--compare counts pixels, and only segmentors give them classes.")
    check_paths(trained.cfg, ("val",))
    deployed = copy.deepcopy(trained.model)

    def encode_decode(inputs: Tensor, metas: list[dict]) -> Tensor:
        if size is not None and tuple(inputs.shape[2:]) != size:
            raise InputError(
                f"The network is given {tuple(inputs.shape[2:])} pixels of {metas[0]['img_path']}, "
                f"and the file takes {size}; deploy without --size, or with that."
            )
        (logits,) = function(inputs * graph.std + graph.mean)
        return logits

    deployed.encode_decode = encode_decode
    equal, pixels, largest = 0, 0, 0.0
    for sample in DATASETS.build(trained.cfg.val_dataloader.dataset):
        (wanted,) = trained.model.test_step(pseudo_collate([copy.deepcopy(sample)]))
        (found,) = deployed.test_step(pseudo_collate([sample]))
        same = wanted.pred_sem_seg.data == found.pred_sem_seg.data
        equal, pixels = equal + int(same.sum()), pixels + same.numel()
        apart = (wanted.seg_logits.data - found.seg_logits.data).abs().max().item()
        largest = max(largest, apart)
    return Agreement(equal, pixels, largest)
