"""The benchmark compares what it says it compares, and reports every ratio that is aimed at."""

import sys

import pytest
import torch
from torch import nn

from helpers.catalogue import CONFIGS
from mmdcls.dcls import Dcls2d

sys.path.insert(0, str(CONFIGS.parent / "tools" / "analysis_tools"))
import benchmark_cpu as benchmark  # noqa: E402
import benchmark_peers as peers  # noqa: E402
import benchmark_report  # noqa: E402
import benchmark_timing as timing  # noqa: E402

SMALL = dict(depths=(2, 1, 1, 1), channels=(4, 4, 4, 4))
MAKERS = peers.backbones(SMALL)


@pytest.mark.parametrize("name", MAKERS)
def test_every_backbone_of_the_benchmark_trains_and_infers(name):
    model, image = MAKERS[name](), torch.randn(1, 3, 32, 32)
    timing.training_step(model, image)
    assert all(p.grad is not None for p in model.parameters())
    timing.inference(model.eval(), image)


def test_published_layers_share_positions_within_a_stage_as_ours_do():
    model = MAKERS["dcls gauss, NCHW"]()
    first, second = (block.dwconv.conv for block in model.stages[0].children())
    assert first.P is second.P and first.SIG is second.SIG and first.weight is not second.weight


def test_the_plain_backbone_is_ours_but_for_its_depthwise_convolutions():
    def rest(model: nn.Module) -> dict:
        shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
        return {k: v for k, v in shapes.items() if "dwconv" not in k and "positions" not in k}

    plain = MAKERS["plain 7x7, channels_last"]()
    assert rest(plain) == rest(MAKERS[peers.OURS]())
    assert not any(isinstance(module, Dcls2d) for module in plain.modules())


def test_elements_are_spread_over_the_whole_kernel():
    positions = MAKERS[peers.OURS]().stages[0].positions
    assert positions.min() < -7 and positions.max() > 7 and positions.abs().max() <= 8


def test_every_rival_of_the_convolution_runs():
    x = torch.randn(1, 3, 9, 9)
    runs = timing.convolution_runs(x, 5)
    assert set(runs) == {"ours", "F.conv2d, NCHW", "F.conv2d, channels_last"}
    for run in {**runs, **timing.layer_runs(x, 5)}.values():
        run()


def test_the_faster_memory_format_of_a_plain_peer_and_both_of_the_published_layers_are_reported():
    times = {"a, NCHW": [3.0, 3.0], "a, channels_last": [1.0, 2.0], "b, with a comma": [5.0]}
    published = {"dcls v0, NCHW": [3.0], "dcls v0, channels_last": [1.0]}
    faster = {"a": [1.0, 2.0], "b, with a comma": [5.0]}
    assert benchmark_report.faster_format({**times, **published}) == {**faster, **published}


def test_the_parts_of_a_step_are_parts():
    parts = benchmark.parts_of_a_step(MAKERS[peers.OURS](), torch.randn(1, 3, 32, 32))
    assert set(parts) == {*benchmark.PARTS, "everything else"}
    assert all(value > 0 for value in parts.values())


def test_the_lower_bound_counts_the_depthwise_convolutions():
    dense = benchmark.lower_bound(SMALL, 32)
    assert dense["operations"] > 0 and dense["seconds"] > 0


def test_the_report_has_every_ratio_and_the_pictures(tmp_path):
    sizes = {size: dict.fromkeys(("ours", "F.conv2d"), [1.0]) for size in timing.KERNELS}
    rivals = {
        peers.OURS,
        peers.GAUSSIAN,
        peers.PLAIN,
        *(name for name in MAKERS if name.startswith("dcls")),
    }
    variants = [f"{of}, {how}" for of in ("ours", peers.PLAIN) for how in ("bfloat16", "compiled")]
    seconds = dict.fromkeys([*sorted(rivals), peers.LARGE, *variants], [0.5, 1.0, 2.0])
    construction = ("ours, gaussian", "dcls gauss", "ours, bilinear_normalized", "dcls v1")
    result = dict(
        date="today",
        machine=benchmark.machine(),
        backbone="small",
        convolution="(1, 2, 3, 4)",
        construction=dict.fromkeys(construction, [1.0]),
        convolutions=sizes,
        memory=dict.fromkeys(rivals, 1.0),
        bound=dict(operations=1e9, speed=1e9, seconds=1.0),
        parts={"ours": dict.fromkeys(benchmark.PARTS, 1.0)},
        **{"training step": seconds, "inference": seconds},
    )
    text = benchmark_report.report(result)
    assert len(benchmark_report.ratios(result)) == text.count("| 1.00 |") == 31
    benchmark_report.draw(result, tmp_path)
    for picture in ("benchmark_kernel_size.png", "benchmark_parts.png"):
        assert picture in text and (tmp_path / picture).stat().st_size > 1000
