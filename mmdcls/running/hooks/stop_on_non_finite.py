from collections.abc import Callable

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mmdcls.dcls import ElementPositions
from mmdcls.errors import TrainingError
from mmdcls.registry import HOOKS
from mmdcls.wrapping import unwrapped


@HOOKS.register_module()
class StopOnNonFinite(Hook):
    """Stop training at the first NaN or infinity in a DCLS parameter or in its gradient.

    The parameter is named; of several gradients, the one that was computed first, from which the
    others have it. Raises TrainingError before ClampPositions could hide an infinity and before
    EMA or a checkpoint could take it up.

    With loss scaling, a gradient that overflows is nothing to stop at: the step is skipped and the
    scale lowered. It counts once the scale is below 1, where scaling cannot be the cause.
    """

    priority = "HIGH"

    def __init__(self) -> None:
        self.parameters: dict[str, nn.Parameter] = {}
        self.handles: list[RemovableHandle] = []
        # Largest absolute value of each gradient of this iteration, in the order of computation.
        self.largest: dict[str, Tensor] = {}

    def before_train(self, runner: Runner) -> None:
        self.parameters = dcls_parameters(unwrapped(runner.model))
        # From these, all gradients would have it.
        for name, parameter in self.parameters.items():
            value = largest(parameter)
            if not value.isfinite():
                raise TrainingError(
                    f"Before training there is {kind_of(value)} in {name}: start from another "
                    f"checkpoint."
                )
        for name, parameter in self.parameters.items():
            if parameter.requires_grad:
                hook = self.look_at_gradient(name)
                self.handles.append(parameter.register_post_accumulate_grad_hook(hook))

    def look_at_gradient(self, name: str) -> Callable[[Tensor], None]:
        def hook(parameter: Tensor) -> None:
            self.largest[name] = largest(parameter.grad)

        return hook

    def after_train_iter(self, runner: Runner, *arguments, **results) -> None:
        gradients, self.largest = self.largest, {}
        values = {name: largest(parameter) for name, parameter in self.parameters.items()}
        # One question to the device for all of them.
        if not values or torch.stack([*gradients.values(), *values.values()]).isfinite().all():
            return
        for name, value in gradients.items():
            if not value.isfinite() and not is_scaled_up(runner.optim_wrapper):
                raise refusal(runner, f"the gradient of {name}", value)
        for name, value in values.items():
            if not value.isfinite():
                raise refusal(runner, name, value)

    def after_train(self, runner: Runner) -> None:
        for handle in self.handles:
            handle.remove()
        self.handles.clear()


def dcls_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Weight, bias, positions and sigma of every layer and every stage, by name."""
    return {
        f"{path}.{name}".lstrip("."): parameter
        for path, module in model.named_modules()
        if isinstance(module, ElementPositions)
        for name, parameter in module.named_parameters(recurse=False)
    }


@torch.no_grad()
def largest(tensor: Tensor) -> Tensor:
    """The largest absolute value, or NaN where there is one."""
    if tensor.numel() == 0:  # cut up by FSDP, this process has nothing of it
        return tensor.new_zeros(())
    return torch.linalg.vector_norm(tensor, torch.inf)


def is_scaled_up(optim_wrapper: OptimWrapper | OptimWrapperDict) -> bool:
    """Whether the loss is multiplied by a number that may make gradients overflow."""
    several = isinstance(optim_wrapper, OptimWrapperDict)
    wrappers = list(optim_wrapper.values()) if several else [optim_wrapper]
    scalers = [wrapper.loss_scaler for wrapper in wrappers if hasattr(wrapper, "loss_scaler")]
    return any(scaler.get_scale() >= 1 for scaler in scalers)


def kind_of(value: Tensor) -> str:
    return "a NaN" if value.isnan() else "an infinity"


def refusal(runner: Runner, what: str, value: Tensor) -> TrainingError:
    return TrainingError(
        f"In iteration {runner.iter + 1} there is {kind_of(value)} in {what}, and training stops: "
        f"resume from an earlier checkpoint with a lower rate, with optim_wrapper.clip_grad, or "
        f"without mixed precision."
    )
