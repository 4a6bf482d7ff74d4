"""A training whose backbone is replayed from graphs is the training without.

Without a GPU, with passes that keep to the memory that graphs keep to.
"""

import copy
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import HOOKS, OPTIMIZERS
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from helpers.tiny import CHANNELS, Plain, Tiny, runner_of
from mmdcls.engine import graphed_backbone
from mmdcls.errors import InputError
from mmdcls.models import DclsConvNeXt

ARCH = dict(depths=(1, 1, 1, 1), channels=(CHANNELS,) * 4)
SIZE = 32


class Replay:
    """As make_graphed_callables gives it: inputs, outputs and gradients have fixed places."""

    made = 0

    def __init__(self, module: nn.Module, samples: tuple[Tensor], allow_unused_input: bool) -> None:
        assert allow_unused_input
        assert not any(parameter._backward_hooks for parameter in module.parameters())
        assert torch.cuda.graph.keywords == dict(capture_error_mode="thread_local")
        type(self).made += 1
        self.replays = 0
        (self.image,), self.forward = samples, module.forward
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        with torch.enable_grad():
            values, self.form = tree_flatten(self.forward(self.image))
        self.places = [value.detach().clone() for value in values]
        self.gradients = [torch.zeros_like(parameter) for parameter in self.parameters]

    def __call__(self, image: Tensor) -> object:
        replay = self

        class Graphed(torch.autograd.Function):
            @staticmethod
            def forward(ctx, image: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
                replay.replays += 1
                # What lay where temporaries of the pass do is lost.
                for gradient in replay.gradients:
                    gradient.fill_(torch.nan)
                replay.image.copy_(image)
                with torch.enable_grad():
                    replay.values = tree_flatten(replay.forward(replay.image))[0]
                for place, value in zip(replay.places, replay.values, strict=True):
                    place.copy_(value)
                return tuple(place.detach() for place in replay.places)

            @staticmethod
            def backward(ctx, *grads: Tensor) -> tuple[Tensor | None, ...]:
                found = torch.autograd.grad(replay.values, replay.parameters, grads)
                for place, gradient in zip(replay.gradients, found, strict=True):
                    place.copy_(gradient)
                return None, *(place.detach() for place in replay.gradients)

        return tree_unflatten(list(Graphed.apply(image, *self.parameters)), self.form)


@pytest.fixture(autouse=True)
def graphs(device, monkeypatch) -> None:
    Replay.made = 0
    if device.type == "cpu":
        monkeypatch.setattr(torch.cuda, "make_graphed_callables", Replay)
        monkeypatch.setattr(graphed_backbone, "can_capture", lambda module: True)


class Net(BaseModel):
    """calls: of the backbone in an iteration."""

    def __init__(self, calls: int = 1, norm: bool = False) -> None:
        super().__init__()
        self.backbone = DclsConvNeXt(
            arch=ARCH, kernel_size=5, kernel_count=3, interpolation="gaussian", in_channels=CHANNELS
        )
        if norm:
            self.backbone.downsample_layers[0].append(nn.BatchNorm2d(CHANNELS))
        self.head = nn.Conv2d(CHANNELS, 1, 1)
        self.calls = calls

    def forward(self, inputs: Tensor, data_samples: list | None = None, mode: str = "tensor"):
        inputs = inputs.to(self.head.weight.dtype)
        if mode == "predict":
            return list(self.head(self.backbone(F.interpolate(inputs, SIZE))[-1]))
        maps = [self.backbone(inputs + shift) for shift in range(self.calls)]
        outputs = [self.head(one[-1]) for one in maps]
        return dict(loss=sum(output.square().mean() for output in outputs))


def net_of(device: torch.device, **options) -> Net:
    torch.manual_seed(3)
    return Net(**options).double().to(device)


@OPTIMIZERS.register_module()
class KeepingSGD(torch.optim.SGD):
    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none=False)


class Sizes(Hook):
    """Images of these sizes, one an iteration, and then of the last one for ever."""

    def __init__(self, sizes: tuple[int, ...] = (SIZE,)) -> None:
        self.sizes = sizes

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        size = self.sizes[min(runner.iter, len(self.sizes) - 1)]
        generator = torch.Generator().manual_seed(runner.iter)
        images = torch.randn(2, CHANNELS, size, size, generator=generator, dtype=torch.double)
        data_batch["inputs"] = images


def trained(net: Net, folder, graphed: bool, hooks: tuple = (), sizes=(SIZE,), **options) -> Net:
    hooks = [Sizes(sizes), *hooks, *[dict(type="mmdcls.GraphedBackbone")] * graphed]
    runner = runner_of(net, folder, hooks, iterations=8, **options)
    runner.train()
    return net


def assert_same(one: nn.Module, other: nn.Module) -> None:
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=1e-10, atol=1e-12)


CASES = {
    "one size": {},
    "several sizes": dict(sizes=(SIZE, SIZE, 64, SIZE, SIZE, SIZE, 64)),
    "accumulated gradients": dict(optim_wrapper=dict(accumulative_counts=3)),
    "gradients that are kept": dict(
        optimizer=dict(type="KeepingSGD", lr=0.1),
        optim_wrapper=dict(clip_grad=dict(max_norm=1)),
    ),
    "two calls an iteration": dict(net=dict(calls=2)),
    "batch norm": dict(net=dict(norm=True)),
    "a hook on gradients": dict(
        hooks=(
            dict(type="mmdcls.AnnealSigma", from_width=1.0, to_width=0.6, end=5, learnable=True),
        )
    ),
    "evaluations": dict(evaluate=True),
}


@pytest.mark.parametrize("case", CASES)
def test_the_training_is_that_without(case, device, tmp_path):
    options = copy.deepcopy(CASES[case])
    net = options.pop("net", {})
    names = net_of(device).state_dict().keys()
    plain, ours = (
        trained(net_of(device, **net), tmp_path, graphed, **copy.deepcopy(options))
        for graphed in (False, True)
    )
    assert_same(ours, plain)
    assert device.type == "cuda" or Replay.made == 1
    assert net or ours.state_dict().keys() == names
    # It has its own forward back.
    assert ours.backbone.forward.__func__ is type(ours.backbone).forward


def hook_on(net: nn.Module) -> tuple[Hook, SimpleNamespace]:
    hook, runner = HOOKS.build(dict(type="mmdcls.GraphedBackbone")), SimpleNamespace(model=net)
    hook.before_train(runner)
    return hook, runner


def iterate(hook: Hook, net: Net, image: Tensor, times: int = graphed_backbone.REPEATS) -> Tensor:
    """The loss of the last of these iterations."""
    for iteration in range(times):
        hook.before_train_iter(SimpleNamespace(model=net, iter=iteration), iteration)
        loss = net(image, mode="loss")["loss"]
        loss.backward()
    return loss.detach()


@pytest.fixture
def image(device) -> Tensor:
    return torch.randn(2, CHANNELS, SIZE, SIZE, dtype=torch.double, device=device)


def test_graphs_come_with_the_third_image_of_a_size_and_are_used_once_an_iteration(device, image):
    net = net_of(device, calls=2)
    hook, _ = hook_on(net)
    iterate(hook, net, image, 1)
    assert net.backbone.forward._run is None
    iterate(hook, net, image, 1)
    assert net.backbone.forward.is_spent
    if device.type == "cpu":
        assert net.backbone.forward._run.replays == 1


def test_evaluation_and_passes_without_gradient_are_the_backbones_own(device, image):
    net = net_of(device)
    hook, _ = hook_on(net)
    iterate(hook, net, image)
    expected = net_of(device).backbone(2 * image)
    for way in (torch.no_grad(), torch.inference_mode()):
        with way:
            torch.testing.assert_close(net.backbone(2 * image), expected)
    torch.testing.assert_close(net.eval().backbone(2 * image), expected)


def test_a_copy_computes_with_its_own_weights(device, image):
    net = net_of(device)
    hook, _ = hook_on(net)
    iterate(hook, net, image)
    twin = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in twin.backbone.parameters():
            parameter.mul_(0.5)
    hook.before_train_iter(None, 0)
    own = type(twin.backbone).forward(twin.backbone, image)
    torch.testing.assert_close(twin.backbone(image), own)


CHANGES = {
    "parameters elsewhere": lambda net: [
        setattr(parameter, "data", parameter.data.clone()) for parameter in net.parameters()
    ],
    "frozen parameters": lambda net: net.backbone.downsample_layers.requires_grad_(False),
    "a part in evaluation": lambda net: net.backbone.stages[0].eval(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_graphs_are_made_anew_where_the_backbone_has_changed(change, device, image):
    net, plain = net_of(device), net_of(device)
    hook, _ = hook_on(net)
    iterate(hook, net, image)
    first = net.backbone.forward._run
    for model in (net, plain):
        CHANGES[change](model)
        model.zero_grad()
    expected = plain(image, mode="loss")["loss"]
    torch.testing.assert_close(iterate(hook, net, image, 1), expected)
    assert net.backbone.forward._run is None
    torch.testing.assert_close(iterate(hook, net, image, 2), expected)
    assert net.backbone.forward._run not in (None, first)


def test_a_backbone_that_cannot_be_captured_is_told(device, image, monkeypatch):
    def refuse(*given: object, **options: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    net = net_of(device)
    hook, _ = hook_on(net)
    (first, *_) = net.backbone.parameters()
    handle = first.register_hook(lambda grad: grad)
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", refuse)
    words = "cannot make graphs of DclsConvNeXt; take it out.*with_cp=True.*not permitted"
    with pytest.raises(InputError, match=words):
        iterate(hook, net, image)
    assert list(first._backward_hooks) == [handle.id]
    assert isinstance(torch.cuda.graph, type)
    handle.remove()


@pytest.mark.parametrize("net", [Plain(), Tiny()], ids=["plain", "tiny"])
def test_a_model_without_a_backbone_is_refused(net):
    with pytest.raises(
        InputError, match=f"needs a model with a backbone, and {type(net).__name__}"
    ):
        hook_on(net)


def test_cut_parameters_are_refused(monkeypatch):
    monkeypatch.setattr(graphed_backbone, "is_cut", lambda model: True)
    with pytest.raises(InputError, match="FSDP"):
        hook_on(Net())


def test_without_a_gpu_the_backbone_runs_as_ever(monkeypatch, caplog):
    monkeypatch.setattr(graphed_backbone, "can_capture", lambda module: False)
    net, lines = Net(), []
    runner = SimpleNamespace(model=net, logger=SimpleNamespace(info=lines.append))
    hook = HOOKS.build(dict(type="mmdcls.GraphedBackbone"))
    hook.before_train(runner)
    assert lines == ["mmdcls.GraphedBackbone: no GPU here, the backbone runs as ever."]
    assert "forward" not in vars(net.backbone)
    iterate(hook, net, torch.randn(1, CHANNELS, SIZE, SIZE))
    hook.after_train(runner)
