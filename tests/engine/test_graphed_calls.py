"""Which calls of a backbone are replayed, what is refused, and what a training leaves behind."""

import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from torch import Tensor, nn

from helpers import cuda_graphs
from helpers.catalogue import CONFIGS
from helpers.graphed import SIZE, Net, hook_on, iterate, net_of
from helpers.tiny import CHANNELS, Plain, Tiny
from mmdcls.engine import graphed_backbone
from mmdcls.errors import InputError

pytestmark = pytest.mark.usefixtures("graphs")


@pytest.fixture
def image(device) -> Tensor:
    return torch.randn(2, CHANNELS, SIZE, SIZE, dtype=torch.double, device=device)


def test_graphs_serve_the_first_call_of_an_iteration_from_the_third_on(device, image):
    net = net_of(device, calls=2)
    hook, _ = hook_on(net)
    for replays in (0, 0, 2, 4):
        iterate(hook, net, image, 1)
        assert device.type == "cuda" or cuda_graphs.Graph.replays == replays


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


def test_where_parameters_move_without_end_it_gives_up(device, image):
    net = net_of(device)
    hook, runner = hook_on(net)
    for _ in range(graphed_backbone.TRIES + 2):
        iterate(hook, net, image)
        CHANGES["parameters elsewhere"](net)
    if device.type == "cpu":
        assert cuda_graphs.Capture.made == 2 * graphed_backbone.TRIES
    (line,) = runner.lines
    assert "move from iteration to iteration" in line


def test_an_iteration_has_one_backward_pass(device, image):
    net = net_of(device)
    hook, _ = hook_on(net)
    iterate(hook, net, image)
    hook.before_train_iter(None, 0)
    loss = net(image, mode="loss")["loss"]
    loss.backward(retain_graph=True)
    with pytest.raises(InputError, match="one backward pass an iteration"):
        loss.backward()
    hook.before_train_iter(None, 1)
    late = net(image, mode="loss")["loss"]
    hook.before_train_iter(None, 2)
    net(image, mode="loss")["loss"].backward()
    with pytest.raises(InputError, match="one backward pass an iteration"):
        late.backward()


def test_a_loss_of_other_maps_is_refused(device, image):
    net = net_of(device)
    hook, _ = hook_on(net)
    iterate(hook, net, image)
    hook.before_train_iter(None, 0)
    with pytest.raises(InputError, match="does not depend on the same outputs"):
        net.backbone(image)[0].sum().backward()


def test_graphs_wait_for_a_backward_pass(device, image):
    net = net_of(device)
    hook, _ = hook_on(net)
    for iteration in range(graphed_backbone.REPEATS):
        hook.before_train_iter(None, iteration)
        net(image, mode="loss")
    torch.testing.assert_close(
        iterate(hook, net, image), net_of(device)(image, mode="loss")["loss"]
    )


def test_a_backbone_with_a_wrapper_of_its_own_is_served(device, image):
    net = net_of(device)
    net.backbone = nn.DataParallel(net.backbone)
    hook, _ = hook_on(net)
    iterate(hook, net, image)
    assert isinstance(net.backbone.module.forward, graphed_backbone.Replayed)


def test_maps_that_are_kept_stay(device, image):
    net = net_of(device)
    hook, _ = hook_on(net)
    iterate(hook, net, image)
    kept = []
    for shift in range(2):
        hook.before_train_iter(None, shift)
        kept.append(net.backbone(image + shift)[-1])
        kept[-1].sum().backward()
    expected = [net_of(device).backbone(image + shift)[-1] for shift in range(2)]
    torch.testing.assert_close(kept, expected)


class Odd(nn.Module):
    """Gives its maps with their height, or makes its buffer anew."""

    def __init__(self, gives_height: bool) -> None:
        super().__init__()
        self.layer = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.gives_height = gives_height
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: Tensor) -> tuple:
        x = self.layer(x)
        if self.gives_height:
            return x, x.shape[2]
        self.mean = 0.9 * self.mean + x.detach().mean()
        return (x,)


@pytest.mark.parametrize(
    "gives_height, words", [(True, "tensors alone, and Odd gives int as well"), (False, "buffers")]
)
def test_backbones_that_graphs_cannot_serve_are_refused(gives_height, words, device, image):
    net = net_of(device)
    net.backbone = Odd(gives_height).double().to(device)
    hook, _ = hook_on(net)
    with pytest.raises(InputError, match=f"{words}.*take it out"):
        for _ in range(graphed_backbone.REPEATS):
            hook.before_train_iter(None, 0)
            net.backbone(image)[0].sum().backward()
    assert "forward" not in vars(net.backbone)


@pytest.mark.parametrize("waits", [True, False], ids=["waits", "refused"])
def test_a_backbone_that_cannot_be_captured_is_told(waits, device, image, monkeypatch):
    def refuse(*given: object, **options: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    net = net_of(device)
    hook, _ = hook_on(net)
    (first, *_) = net.backbone.parameters()
    handle = first.register_hook(lambda grad: grad)
    if waits and device.type == "cpu":
        own = net.backbone.stages[0].forward
        net.backbone.stages[0].forward = lambda x: own(x * x.sum().sign().item())
    else:
        monkeypatch.setattr(torch.cuda, "make_graphed_callables", refuse)
    words = "cannot make graphs of DclsConvNeXt; take it out.*with_cp=True.*not permitted"
    with pytest.raises(InputError, match=words):
        iterate(hook, net, image)
    assert list(first._backward_hooks) == [handle.id]
    assert "forward" not in vars(net.backbone)
    assert device.type == "cuda" or torch.cuda.graph is cuda_graphs.Capture


def test_forward_hooks_within_are_told(device, image):
    net = net_of(device)
    hook, runner = hook_on(net)
    net.backbone.stages[1].register_forward_hook(lambda module, inputs, output: None)
    iterate(hook, net, image)
    (line,) = runner.lines
    assert "forward hooks of stages.1 run while graphs are made" in line


def test_what_an_interrupted_training_left_is_gone_with_the_next(device, image):
    net = net_of(device)
    hooks = [hook_on(net)[0] for _ in range(2)]
    for hook in hooks:
        iterate(hook, net, image, 1)
    assert not isinstance(net.backbone.forward.forward, graphed_backbone.Replayed)
    for hook in hooks:
        hook.after_train(SimpleNamespace(model=net))
    assert "forward" not in vars(net.backbone)


def test_a_forward_of_the_backbones_own_comes_back(device, image):
    net = net_of(device)
    own = net.backbone.forward
    net.backbone.forward = wrapped = lambda x: tuple(2 * one for one in own(x))
    hook, runner = hook_on(net)
    expected = wrapped(image)
    iterate(hook, net, image, 2)
    hook.before_train_iter(None, 0)
    torch.testing.assert_close(net.backbone(image), expected)
    hook.after_train(runner)
    assert net.backbone.forward is wrapped


@pytest.mark.parametrize("net", [Plain(), Tiny()], ids=["plain", "tiny"])
def test_a_model_without_a_backbone_is_refused(net):
    with pytest.raises(
        InputError, match=f"needs a model with a backbone, and {type(net).__name__}"
    ):
        hook_on(net)


def test_a_config_adds_it_to_the_hooks_that_it_inherits(tmp_path):
    base = CONFIGS / "demo" / "dcls-convnext-mini_upernet_1xb2-360_cells-256x256.py"
    page = (CONFIGS.parent / "docs" / "speed.md").read_text()
    (line,) = [line for line in page.splitlines() if line.startswith("custom_hooks")]
    file = tmp_path / "graphed.py"
    file.write_text(f'_base_ = "{base}"\n{line}\n')
    inherited = Config.fromfile(base).custom_hooks
    expected = [*inherited, dict(type="mmdcls.GraphedBackbone")]
    assert len(inherited) > 1 and Config.fromfile(file).custom_hooks == expected


def test_cut_parameters_are_refused(monkeypatch):
    monkeypatch.setattr(graphed_backbone, "is_cut", lambda model: True)
    with pytest.raises(InputError, match="FSDP"):
        hook_on(Net())


def test_without_a_gpu_the_backbone_runs_as_ever(monkeypatch):
    monkeypatch.setattr(graphed_backbone, "can_capture", lambda module: False)
    net = Net()
    hook, runner = hook_on(net)
    assert runner.lines == ["mmdcls.GraphedBackbone: no GPU here, the backbone runs as ever."]
    assert "forward" not in vars(net.backbone)
    iterate(hook, net, torch.randn(1, CHANNELS, SIZE, SIZE))
    hook.after_train(runner)
