"""A program of a user, for the type checker: what it takes from mmdcls has the types it says."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LinearLR
from typing_extensions import assert_type

import mmdcls
from mmdcls.dcls import (
    Conversion,
    Dcls1d,
    Dcls2d,
    ElementPositions,
    Rule,
    Shares,
    anneal_width_,
    clamp_model_,
    construct_kernel,
    convert,
    figures_table,
    group_table,
    merged,
    parameter_groups,
    position_figures,
    position_owners,
    position_warnings,
    repulsion,
    repulsion_loss,
    rounded,
    scheduled_rates,
    start_positions,
)


def layers() -> Tensor:
    layer = Dcls2d(8, 8, kernel_size=17, padding=8, groups=8, kernel_count=34)
    assert_type(layer.weight, nn.Parameter)
    assert_type(layer.bias, nn.Parameter | None)
    assert_type(layer.positions, nn.Parameter | None)
    assert_type(layer.sigma, nn.Parameter | None)
    assert_type(layer.shares(), Shares)
    assert_type(layer.kernel(), Tensor)
    assert_type(layer.forward(torch.zeros(1, 8, 32, 32)), Tensor)
    assert_type(layer.to_conv(), nn.Module)
    assert_type(Dcls2d.from_conv(nn.Conv2d(3, 8, 3), kernel_size=7, kernel_count=9), Dcls2d)
    assert_type(Dcls1d(8, 8, kernel_size=9, kernel_count=3).kernel(), Tensor)
    # A layer that shares positions has none of its own, and whoever takes them has to look.
    assert layer.positions is not None
    crowding = repulsion(layer.positions)
    return crowding + construct_kernel(
        layer.weight, layer.positions, layer.sigma, (17, 17), "bilinear"
    )


def training(model: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    model, found = convert(model, [Rule(where=".*", kernel_size=7, kernel_count="neutral")])
    assert_type(found, Conversion)
    assert_type(position_owners(model), dict[str, ElementPositions])
    rates = scheduled_rates(lambda optimizer: LinearLR(optimizer), steps=100)
    groups = parameter_groups(
        model, lr=1e-3, weight_decay=0.05, position_travel=1.0, schedule=rates
    )
    assert_type(group_table(groups), str)
    optimizer = torch.optim.AdamW(groups)
    start = start_positions(model)
    for step, batch in enumerate(batches):
        loss = model(batch).mean() + repulsion_loss(model)
        loss.backward()
        optimizer.step()
        clamp_model_(model)
        anneal_width_(model, step / 100, from_width=3.0, to_width=0.5)
    figures = position_figures(model, start)
    assert_type(figures_table(figures), str)
    assert_type(position_warnings(model, figures), dict[str, str])
    with rounded(model):
        model.eval()
    return merged(model)


def package() -> None:
    assert_type(mmdcls.__version__, str)
    assert_type(mmdcls.config_path("_base_/runtime.py"), str)
