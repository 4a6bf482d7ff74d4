from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from mmdcls.errors import InputError
from mmdcls.registry import HOOKS
from mmdcls.wrapping import is_cut, unwrapped

# Images of one size and dtype, one after another, before a graph is made for them.
REPEATS = 3


@HOOKS.register_module()
class GraphedBackbone(Hook):
    """On a GPU, replay the passes of `model.backbone` in training as two CUDA graphs.

    A step no longer waits for Python to launch kernel after kernel, which with few images takes
    longer than the kernels (docs/speed.md). What is learned stays the same, but for the draws of
    drop path. The graphs are made for the first size of images that comes three times in a row, and
    serve all images of it, once an iteration; others, and evaluation, run as ever. What runs in
    Python within the backbone, such as forward hooks of its modules, runs while graphs are made and
    not again.
    """

    def __init__(self) -> None:
        self._replayed: Replayed | None = None

    def before_train(self, runner: Runner) -> None:
        model = unwrapped(runner.model)
        backbone = getattr(model, "backbone", None)
        if not isinstance(backbone, nn.Module):
            raise InputError(
                f"mmdcls.GraphedBackbone needs a model with a backbone, and {type(model).__name__} "
                f"has none; take it out of custom_hooks."
            )
        if is_cut(runner.model):
            raise InputError(
                "mmdcls.GraphedBackbone needs parameters that stay in their place, and FSDP moves "
                "them; take it out of custom_hooks."
            )
        if not can_capture(backbone):
            runner.logger.info("mmdcls.GraphedBackbone: no GPU here, the backbone runs as ever.")
            return
        self._replayed = Replayed(backbone)
        backbone.forward = self._replayed

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | tuple | list | None = None
    ) -> None:
        if self._replayed is not None:
            self._replayed.is_spent = False

    def after_train(self, runner: Runner) -> None:
        if self._replayed is not None:
            self._replayed.backbone.forward = self._replayed.forward
            self._replayed = None


def can_capture(module: nn.Module) -> bool:
    return all(parameter.is_cuda for parameter in module.parameters())


class Replayed:
    """The forward of a backbone that replays graphs where it can.

    is_spent: whether the graphs were replayed. Their outputs, and what they keep for the gradient,
        would be overwritten by another replay before the backward pass.
    """

    def __init__(self, backbone: nn.Module) -> None:
        self.backbone, self.forward = backbone, backbone.forward
        self.is_spent = False
        self._run: Callable | None = None
        self._kind: tuple | None = None
        self._state: list | None = None
        self._repeats = 0

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        fits = len(inputs) == 1 and not options and isinstance(inputs[0], Tensor)
        trains = self.backbone.training and torch.is_grad_enabled()
        if not (fits and trains) or self.is_spent or inputs[0].requires_grad:
            return self.forward(*inputs, **options)
        (image,) = inputs
        kind, state = kind_of(image), state_of(self.backbone)
        if self._run is not None and state != self._state:
            self._run = self._kind = None
        if self._run is None:
            self._repeats = self._repeats + 1 if kind == self._kind else 1
            self._kind = kind
            if self._repeats < REPEATS:
                return self.forward(image)
            self._run = captured(self.backbone, self.forward, image)
            self._state, self._repeats = state, 0
        if kind != self._kind:
            return self.forward(image)
        self.is_spent = True
        keep_gradients(self.backbone)
        return self._run(image)

    def __deepcopy__(self, memo: dict) -> Callable:
        """Of a copied backbone, such as of averaged weights: its own forward."""
        twin = memo[id(self.backbone)]
        return type(twin).forward.__get__(twin)


def kind_of(image: Tensor) -> tuple:
    """What graphs are made for."""
    is_cast = torch.is_autocast_enabled(image.device.type)
    dtype = torch.get_autocast_dtype(image.device.type) if is_cast else None
    return image.shape, image.dtype, image.device, dtype


def state_of(module: nn.Module) -> list:
    """What graphs rely on: where parameters and buffers are, and what is trained."""
    tensors = [*module.parameters(), *module.buffers()]
    places = [(tensor.data_ptr(), tensor.requires_grad) for tensor in tensors]
    return [*places, *(part.training for part in module.modules())]


def keep_gradients(module: nn.Module) -> None:
    """Of earlier iterations: they may lie where a replay writes its own."""
    for parameter in module.parameters():
        if parameter.grad is not None:
            parameter.grad = parameter.grad.clone()


@contextmanager
def beside_other_threads() -> Iterator[None]:
    """Such as one that pins memory for a data loader, which would fail while a graph is made."""
    graph = torch.cuda.graph
    torch.cuda.graph = partial(graph, capture_error_mode="thread_local")
    try:
        yield
    finally:
        torch.cuda.graph = graph


class Within(nn.Module):
    """A backbone with its own forward, for torch replaces that of what it captures."""

    def __init__(self, backbone: nn.Module, forward: Callable) -> None:
        super().__init__()
        self.backbone, self.run = backbone, forward

    def forward(self, image: Tensor) -> Any:
        return self.run(image)


def captured(backbone: nn.Module, forward: Callable, image: Tensor) -> Callable[[Tensor], Any]:
    """The passes of a backbone as graphs; buffers are left as they were."""
    *_, dtype = kind_of(image)
    buffers = [(buffer, buffer.clone()) for buffer in backbone.buffers()]
    hooks = {parameter: parameter._backward_hooks for parameter in backbone.parameters()}
    try:
        for parameter in hooks:
            # They run when the graph has been replayed, and would run within it as well.
            parameter._backward_hooks = None
        # Graphs cannot hold autocast's cache of casts.
        cast = dict(dtype=dtype, enabled=dtype is not None, cache_enabled=False)
        with torch.autocast(image.device.type, **cast), beside_other_threads():
            return torch.cuda.make_graphed_callables(
                Within(backbone, forward), (image.detach().clone(),), allow_unused_input=True
            )
    except RuntimeError as error:
        raise InputError(
            f"mmdcls.GraphedBackbone cannot make graphs of {type(backbone).__name__}; take it out "
            f"of custom_hooks. Activation checkpointing (with_cp=True) and what waits for the GPU "
            f"cannot be in a graph: {error}"
        ) from error
    finally:
        for parameter, hook in hooks.items():
            parameter._backward_hooks = hook
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
