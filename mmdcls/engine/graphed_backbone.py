import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import chain
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from mmdcls.errors import InputError
from mmdcls.registry import HOOKS
from mmdcls.wrapping import is_cut, unwrapped

# Iterations with images of one size and dtype, one after another, of which the last makes graphs.
REPEATS = 3
# How often graphs are made anew, where parameters move.
TRIES = 3
NAME = "mmdcls.GraphedBackbone"


@HOOKS.register_module()
class GraphedBackbone(Hook):
    """On a GPU, replay the passes of `model.backbone` in training as two CUDA graphs.

    An iteration no longer waits for Python to launch the backbone's kernels one by one, which with
    few images takes longer than the kernels (docs/speed.md). The graphs are made for the first size
    of images that comes three times in a row, and serve the first call of every iteration with it;
    other calls, and evaluation, run as ever. What is learned stays the same, but for draws, such as
    of drop path and of all that draws after it, and for what Python does within the backbone: it
    runs while graphs are made and not again, such as forward hooks of its modules and the numbers
    that a schedule of drop path sets.
    """

    def __init__(self) -> None:
        self._replayed: Replayed | None = None

    def before_train(self, runner: Runner) -> None:
        model = unwrapped(runner.model)
        backbone = getattr(model, "backbone", None)
        if not isinstance(backbone, nn.Module):
            raise InputError(
                f"{NAME} needs a model with a backbone, and {type(model).__name__} has none; take "
                f"it out of custom_hooks."
            )
        if is_cut(runner.model):
            raise InputError(
                f"{NAME} needs parameters that stay in their place, and FSDP moves them; take it "
                f"out of custom_hooks."
            )
        backbone = unwrapped(backbone)
        # Of a training that failed, or of the same hook given twice.
        leave(backbone)
        if not can_capture(backbone):
            runner.logger.info(f"{NAME}: no GPU here, the backbone runs as ever.")
            return
        self._replayed = backbone.forward = Replayed(backbone, runner.logger.warning)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | tuple | list | None = None
    ) -> None:
        if self._replayed is not None:
            self._replayed.is_spent = False

    def after_train(self, runner: Runner) -> None:
        if self._replayed is not None:
            leave(self._replayed.backbone)
            self._replayed = None


def can_capture(module: nn.Module) -> bool:
    devices = {parameter.device.type for parameter in module.parameters()}
    return devices == {"cuda"}


def leave(backbone: nn.Module) -> None:
    """Its forward is again what it was."""
    replayed = vars(backbone).get("forward")
    if isinstance(replayed, Replayed):
        del backbone.forward
        if replayed.had_own:
            backbone.forward = replayed.forward


class Replayed:
    """The forward of a backbone that replays graphs where it can.

    is_spent: whether the iteration had its call. Another replay before the backward pass would
        overwrite what this one keeps for it.
    """

    def __init__(self, backbone: nn.Module, warn: Callable[[str], None]) -> None:
        self.backbone, self.forward, self.warn = backbone, backbone.forward, warn
        self.had_own = "forward" in vars(backbone)
        self.is_spent = True
        self._run: Callable | None = None
        self._kind: tuple | None = None
        self._state: list | None = None
        self._repeats = self._tries = 0
        # Which outputs the loss depends on, and the replay whose backward pass has not come yet.
        self._used: list[bool] = []
        self._open: object = None

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        fits = len(inputs) == 1 and not options and isinstance(inputs[0], Tensor)
        trains = self.backbone.training and torch.is_grad_enabled()
        if not (fits and trains) or self.is_spent or inputs[0].requires_grad:
            return self.forward(*inputs, **options)
        self.is_spent = True
        (image,) = inputs
        kind, state = kind_of(image), state_of(self.backbone)
        if self._run is not None and state != self._state:
            self._run = self._kind = None
        if self._run is None:
            self._repeats = self._repeats + 1 if kind == self._kind else 1
            self._kind = kind
            waits = self._repeats < REPEATS or not any(self._used)
            if waits or self._tries == TRIES:
                return self.watched(self.forward(image))
            self.capture(image)
            self._state, self._repeats = state, 0
        return self.replay(image) if kind == self._kind else self.forward(image)

    def capture(self, image: Tensor) -> None:
        self._tries += 1
        if self._tries == TRIES:
            self.warn(
                f"{NAME}: parameters of the backbone move from iteration to iteration; graphs of "
                f"it are made a last time."
            )
        if names := hooked_parts(self.backbone):
            self.warn(
                f"{NAME}: forward hooks of {', '.join(names[:3])} run while graphs are made, and "
                f"not again."
            )
        try:
            self._run = captured(self.backbone, self.forward, image, self._used)
        except InputError:
            leave(self.backbone)
            raise

    def replay(self, image: Tensor) -> Any:
        output = self._run(image)
        token = self._open = object()
        node = next(leaf.grad_fn for leaf in tree_leaves(output) if leaf.grad_fn is not None)
        node.register_prehook(partial(self.check_backward, token))
        # What the next replay overwrites is for no optimiser, and for nobody who keeps maps.
        node.register_hook(lambda gradients, _: tuple(map(copied, gradients)))
        return tree_map(copied, output)

    def check_backward(self, token: object, gradients: tuple[Tensor | None, ...]) -> None:
        """Raises InputError where the gradients would be those of something else."""
        if token is not self._open:
            raise InputError(
                f"{NAME} can serve one backward pass an iteration, before the next one's forward "
                f"pass, and this is another; take it out of custom_hooks."
            )
        self._open = None
        if [gradient is not None for gradient in gradients] != self._used:
            raise InputError(
                f"{NAME}: the loss does not depend on the same outputs of the backbone as when "
                f"graphs were made; take it out of custom_hooks."
            )

    def watched(self, output: Any) -> Any:
        """Notes which of the outputs get a gradient."""
        leaves = tree_leaves(output)
        strange = {type(leaf).__name__ for leaf in leaves if not isinstance(leaf, Tensor)}
        if strange:
            leave(self.backbone)
            raise InputError(
                f"{NAME} serves backbones that give tensors alone, and "
                f"{type(self.backbone).__name__} gives {', '.join(sorted(strange))} as well; take "
                f"it out of custom_hooks."
            )
        used = self._used = [False] * len(leaves)

        def note(index: int, gradient: Tensor) -> None:
            used[index] = True

        for index, leaf in enumerate(leaves):
            if leaf.requires_grad:
                leaf.register_hook(partial(note, index))
        return output

    def __deepcopy__(self, memo: dict) -> Callable:
        """Of a copied backbone, such as of averaged weights: its own forward."""
        return copy.deepcopy(self.forward, memo)


def copied(leaf: Tensor | None) -> Tensor | None:
    return None if leaf is None else leaf.clone()


def kind_of(image: Tensor) -> tuple:
    """What graphs are made for."""
    is_cast = torch.is_autocast_enabled(image.device.type)
    dtype = torch.get_autocast_dtype(image.device.type) if is_cast else None
    return image.shape, image.dtype, image.device, dtype


def state_of(module: nn.Module) -> list:
    """What graphs rely on: where parameters and buffers are, and what is trained."""
    places = [(tensor.data_ptr(), tensor.requires_grad) for tensor in tensors_of(module)]
    return [*places, *(part.training for part in module.modules())]


def tensors_of(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


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
    """A backbone with its own forward, for torch replaces that of what it captures.

    used: which outputs have a gradient. The others have none here either, for an optimiser treats
        parameters without a gradient and those whose gradient is zero in two ways.
    """

    def __init__(self, backbone: nn.Module, forward: Callable, used: list[bool]) -> None:
        super().__init__()
        self.backbone, self.run, self.used = backbone, forward, used

    def forward(self, image: Tensor) -> Any:
        leaves, form = tree_flatten(self.run(image))
        pairs = zip(leaves, self.used, strict=True)
        return tree_unflatten([leaf if used else leaf.detach() for leaf, used in pairs], form)


def captured(
    backbone: nn.Module, forward: Callable, image: Tensor, used: list[bool]
) -> Callable[[Tensor], Any]:
    """The passes of a backbone as graphs; parameters and buffers are left as they were."""
    *_, dtype = kind_of(image)
    tensors = tensors_of(backbone)
    before = [tensor.detach().clone() for tensor in tensors]
    hooks = {parameter: parameter._backward_hooks for parameter in backbone.parameters()}
    try:
        for parameter in hooks:
            # They run when the graph has been replayed, and would run within it as well.
            parameter._backward_hooks = None
        # Graphs cannot hold autocast's cache of casts.
        cast = dict(dtype=dtype, enabled=dtype is not None, cache_enabled=False)
        device = torch.cuda.device(image.device) if image.is_cuda else nullcontext()
        with device, torch.autocast(image.device.type, **cast), beside_other_threads():
            run = torch.cuda.make_graphed_callables(
                Within(backbone, forward, used), (image.detach().clone(),), allow_unused_input=True
            )
    except RuntimeError as error:
        raise InputError(
            f"{NAME} cannot make graphs of {type(backbone).__name__}; take it out of custom_hooks. "
            f"Activation checkpointing (with_cp=True) and what waits for the GPU cannot be in a "
            f"graph: {error}"
        ) from error
    finally:
        for parameter, hook in hooks.items():
            parameter._backward_hooks = hook
        for tensor, value in zip(tensors, before, strict=True):
            # Without a new version, which would spoil passes that wait for their gradient.
            tensor.data.copy_(value)
    if any(one is not other for one, other in zip(tensors, tensors_of(backbone), strict=True)):
        raise InputError(
            f"{NAME} cannot serve {type(backbone).__name__}, which has new buffers after every "
            f"pass; take it out of custom_hooks, or let it change them in place."
        )
    return run


def hooked_parts(backbone: nn.Module) -> list[str]:
    """Names of modules within whose forward hooks are not of this package."""
    return [
        name
        for name, part in backbone.named_modules()
        for hook in chain(part._forward_hooks.values(), part._forward_pre_hooks.values())
        if part is not backbone and not getattr(hook, "__module__", "").startswith("mmdcls.")
    ]
