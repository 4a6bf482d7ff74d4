"""A kernel is looked up once, launched ever after, and operators that nothing sees passed by."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.flop_counter import FlopCounterMode

from mmdcls.dcls import launching
from mmdcls.dcls.eager import function_of, passes_by
from mmdcls.dcls.launching import launch


class Kernel:
    """As one of Triton, or as what it compiles: notes who was launched with what."""

    def __init__(self, notes: list, compiled: "Kernel | None" = None) -> None:
        self.notes, self.compiled = notes, compiled

    def __getitem__(self, grid: tuple):
        def call(*arguments, **options):
            self.notes.append((self, grid, len(arguments), options))
            return self.compiled

        return call


@pytest.fixture
def kernel(monkeypatch) -> Kernel:
    monkeypatch.setattr(launching, "COMPILED", {})
    notes = []
    return Kernel(notes, Kernel(notes))


def test_the_second_launch_goes_to_what_the_first_compiled(kernel):
    tensor, grid = torch.zeros(8), (3, 1, 1)
    for number in (1, 2):
        launch(kernel, grid, (tensor,), number, B=16)
    first, second = kernel.notes
    assert first == (kernel, grid, 2, dict(B=16, num_warps=4, num_stages=1))
    # Compiled, it takes constants in their places.
    assert second == (kernel.compiled, grid, 3, {})


@pytest.mark.parametrize(
    "other",
    [
        dict(tensor=torch.zeros(8, dtype=torch.half)),
        dict(B=32),
        dict(num_warps=8),
        dict(tensor=torch.zeros(9)[1:]),
    ],
    ids=["dtype", "constant", "warps", "memory that does not start on 16 bytes"],
)
def test_what_compiles_to_something_else_is_looked_up(kernel, other):
    def call(tensor=None, **constants):
        tensor = torch.zeros(8) if tensor is None else tensor
        launch(kernel, (1, 1, 1), (tensor,), 1, **{"B": 16, **constants})

    call()
    call(**other)
    assert [note[0] for note in kernel.notes] == [kernel, kernel]


def test_the_interpreter_compiles_nothing(monkeypatch):
    monkeypatch.setattr(launching, "COMPILED", {})
    kernel = Kernel([])
    for _ in range(2):
        launch(kernel, (1, 1, 1), (torch.zeros(8),), B=16)
    assert [note[0] for note in kernel.notes] == [kernel, kernel]


def test_operators_stay_where_something_sees_them():
    assert passes_by(torch.zeros(3))
    assert not passes_by(torch.zeros(3, device="meta"))
    with FlopCounterMode(display=False):
        assert not passes_by(torch.zeros(3))
    with FakeTensorMode() as mode:
        assert not passes_by(torch.zeros(3))
    assert not passes_by(mode.from_tensor(torch.zeros(3)))


def test_operators_stay_in_traces_and_transforms():
    answers = []

    def ask(x: torch.Tensor) -> torch.Tensor:
        answers.append(passes_by(torch.zeros(3)))
        return x

    torch.func.vmap(ask)(torch.zeros(3))
    for pre_dispatch in (True, False):
        make_fx(ask, pre_dispatch=pre_dispatch)(torch.zeros(3))
    assert answers == [False] * 3


def test_a_function_has_the_gradients_that_it_is_given():
    def run(x: torch.Tensor, factor: float) -> torch.Tensor:
        return factor * x

    def save(ctx, inputs: tuple, output: torch.Tensor) -> None:
        _, ctx.factor = inputs

    def gradients(ctx, grad: torch.Tensor) -> tuple:
        return call(grad, ctx.factor), None

    call = function_of(run, save, gradients)
    x = torch.randn(3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: call(x, 3.0), x)
    assert torch.autograd.gradgradcheck(lambda x: call(x, 3.0) ** 2, x)
    with torch.no_grad():
        assert not call(x, 3.0).requires_grad
