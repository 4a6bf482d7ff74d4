"""A profile has every way of every convolution of a config, timed or with the reason why not."""

import os
import re
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest
import torch
from mmengine.config import Config

from helpers.cases import draw_layer
from helpers.catalogue import LEAVES, leaf_of, load
from helpers.ways import recorded, shapes_of
from mmdcls import commands
from mmdcls.analysis import profiling
from mmdcls.analysis.convolutions import Convolution, convolution_of, convolutions_met, crop_of
from mmdcls.analysis.profile_report import report
from mmdcls.analysis.profiling import COMPUTATIONS, Computation, Profile, Timing, jobs_of, profile
from mmdcls.analysis.timing import in_turns
from mmdcls.dcls import DepthwiseConv2d
from mmdcls.dcls.conv.ways import GPU_WAYS, WAYS, Way, chosen
from mmdcls.dcls.geometry import Geometry
from mmdcls.errors import InputError

CPU, CHANNELS = torch.device("cpu"), 4
SMALL = dict(arch=dict(depths=(2, 1, 3, 1), channels=(4, 8, 12, 16)), kernel_size=9, kernel_count=5)
# Of a depthwise layer, and the side of its map.
LAYERS = {
    "odd": (dict(kernel_size=5, padding=2), 12),
    "through the FFT": (dict(kernel_size=63, padding=31), 64),
    "gradient by the framework": (dict(kernel_size=3, padding="same"), 12),
    "even": (dict(kernel_size=4, padding="same"), 12),
    "stride": (dict(kernel_size=5, stride=(2, 1), padding=2), 12),
    "circular": (dict(kernel_size=5, padding=2, padding_mode="circular"), 12),
    "no padding": (dict(kernel_size=(3, 5)), 12),
    "padding larger than the kernel": (dict(kernel_size=3, padding=(4, 1)), 7),
}


def layer_of(case: str) -> tuple[DepthwiseConv2d, torch.Tensor]:
    options, side = LAYERS[case]
    layer = draw_layer(groups=CHANNELS, **options).float().to_conv(keep_ways=True)
    return layer, torch.randn(2, CHANNELS, side, side + 1)


@pytest.fixture
def cfg() -> Config:
    found = load(leaf_of("demo", "mini_upernet"))
    channels = list(SMALL["arch"]["channels"])
    found.model.backbone.update(SMALL)
    found.model.decode_head.in_channels = channels
    found.model.auxiliary_head.in_channels = channels[2]
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", LAYERS)
def test_what_is_timed_and_chosen_is_what_a_layer_does(case, dtype, monkeypatch):
    layer, x = layer_of(case)
    layer, x = layer.to(dtype), x.to(dtype)
    why_not, jobs = jobs_of(convolution_of(layer, x), len(x), dtype, CPU)
    assert why_not is None
    taken = recorded(monkeypatch)
    layer(x.requires_grad_()).sum().backward()
    asked = [(COMPUTATIONS[job.name], job.call, shapes_of(job.arguments)) for job in jobs]
    assert taken == [(table, chosen(table, call), shapes) for table, call, shapes in asked]


@pytest.mark.parametrize("case", LAYERS)
def test_every_way_of_both_tables_is_timed_or_has_a_reason(case):
    convolution = convolution_of(*layer_of(case))
    (found,) = profile({convolution: 3}, 2, torch.float32, CPU, seconds=60)
    assert (found.convolution, found.count, found.why_not) == (convolution, 3, None)
    assert [one.name for one in found.computations] == list(COMPUTATIONS)
    for one in found.computations:
        table = COMPUTATIONS[one.name]
        assert one.ways.keys() == WAYS[table].keys() | GPU_WAYS[table].keys()
        for timing in (*one.ways.values(), one.plain):
            assert (timing.milliseconds is None) == bool(timing.why_not)
        assert one.ways[one.chosen].milliseconds > 0 and one.plain.milliseconds > 0
        assert "NVIDIA" in one.ways["band"].why_not
        assert {name for name, timing in one.ways.items() if timing.why_not} == {"band"}


def test_a_way_that_cannot_serve_the_dtype_says_so():
    convolution = convolution_of(*layer_of("odd"))
    (found,) = profile({convolution: 1}, 2, torch.bfloat16, CPU, seconds=60)
    assert all("bfloat16" in one.ways["fft"].why_not for one in found.computations)


def test_a_way_that_could_serve_but_is_not_taken_is_timed_and_says_why(monkeypatch):
    direct = WAYS["values"]["direct"]
    idle = Way(direct.run, direct.cannot, lambda call: "nobody has measured it")
    monkeypatch.setitem(GPU_WAYS["values"], "band", idle)
    (found,) = profile({convolution_of(*layer_of("odd")): 1}, 2, torch.float32, CPU, seconds=60)
    timing = found.computations[0].ways["band"]
    assert timing.milliseconds > 0 and timing.why_not == "nobody has measured it"
    assert timing.why_not in report([found])


BAND = """
import torch
from mmdcls.analysis.convolutions import Convolution
from mmdcls.analysis import profiling
from mmdcls.analysis.profile_report import report
from mmdcls.dcls.conv.ways import GPU_WAYS
from mmdcls.dcls.geometry import Geometry

for ways in GPU_WAYS.values():
    ways["band"] = ways["band"]._replace(cannot=lambda call: None)
convolution = Convolution(4, (8, 9), (5, 3), Geometry((1, 1), (2, 1), (1, 1)), "zeros")
profiling.REPEATS = 1
cpu = torch.device("cpu")
found = profiling.profile({convolution: 1}, 2, torch.float32, cpu, seconds=300)
assert all(one.ways["band"].milliseconds > 0 for one in found[0].computations)
print(report(found))
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton: pip install triton")
def test_the_band_itself_is_timed_by_the_interpreter():
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-c", BAND]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("band") == len(COMPUTATIONS)


def test_a_dilated_layer_is_left_to_the_framework():
    layer, x = layer_of("odd")
    layer.dilation = (2, 2)
    (found,) = profile({convolution_of(layer, x): 1}, 2, torch.float32, CPU, seconds=60)
    assert "dilation" in found.why_not and not found.computations
    assert found.why_not in report([found])


def test_without_time_nothing_is_timed_and_each_way_says_so():
    (found,) = profile({convolution_of(*layer_of("odd")): 1}, 2, torch.float32, CPU, seconds=0)
    for one in found.computations:
        for name, timing in (*one.ways.items(), ("plain", one.plain)):
            assert timing.milliseconds is None
            assert ("--seconds" in timing.why_not) == (name != "band")
    assert "no sum" in report([found])


def test_too_little_memory_is_a_sentence(monkeypatch):
    def run(*arguments):
        raise torch.OutOfMemoryError

    monkeypatch.setitem(WAYS["values"], "direct", WAYS["values"]["direct"]._replace(run=run))
    with pytest.raises(InputError, match="--batch"):
        profile({convolution_of(*layer_of("odd")): 1}, 2, torch.float32, CPU, seconds=60)


def test_the_convolutions_of_a_network_and_how_often_it_meets_them(cfg):
    found = convolutions_met(cfg, (64, 96))
    geometry = Geometry((1, 1), (4, 4), (1, 1))
    assert found == {
        Convolution(channels, (16 >> stage, 24 >> stage), (9, 9), geometry, "zeros"): depth
        for stage, (depth, channels) in enumerate(zip(*SMALL["arch"].values(), strict=True))
    }


def test_a_network_without_depthwise_dcls_is_refused():
    cfg = load(leaf_of("demo", "mini_upernet"))
    cfg.model.backbone = dict(type="mmseg.ResNetV1c", depth=18, in_channels=3)
    cfg.model.decode_head.in_channels = [64, 128, 256, 512]
    with pytest.raises(InputError, match="DclsConvNeXt"):
        convolutions_met(cfg, (64, 64))


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.stem)
def test_the_crop_of_our_configs(leaf):
    others = {"demo": (256, 256), "classification": (224, 224), "rtmdet": (640, 640)}
    named = re.search(r"-(\d+)x(\d+)$", leaf.stem)
    others["mask2former_dcls-convnext-t_8xb2-lsj-50e_coco"] = (1024, 1024)
    of_others = others.get(leaf.stem, others.get(leaf.parent.name))
    size = tuple(map(int, named.groups())) if named else of_others
    assert crop_of(Config.fromfile(leaf)) == size


RESIZE = dict(type="RandomResize", scale=(99, 99))
CROPS = {
    "mmseg": ([RESIZE, dict(type="RandomCrop", crop_size=(30, 40))], "mmseg", (30, 40)),
    "mmdet": ([RESIZE, dict(type="RandomCrop", crop_size=(30, 40))], "mmdet", (40, 30)),
    "one number": ([dict(type="mmseg.RandomCrop", crop_size=30)], "mmseg", (30, 30)),
    "resized": ([dict(type="Resize", scale=(30, 40)), dict(type="Flip")], "mmseg", (40, 30)),
    "padded": ([RESIZE, dict(type="Pad", size=(30, 40))], "mmseg", (40, 30)),
    "resized last": ([dict(type="RandomCrop", crop_size=30), RESIZE], "mmseg", None),
    "ratio kept": ([dict(type="Resize", scale=(30, 40), keep_ratio=True)], "mmseg", None),
    "relative": (
        [dict(type="RandomCrop", crop_size=(0.3, 0.4), crop_type="relative")],
        "mmdet",
        None,
    ),
    "nothing": ([dict(type="Flip")], "mmseg", None),
}


@pytest.mark.parametrize("case", CROPS)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_crop_is_that_of_the_last_transform_that_sets_a_size(case, wrapped):
    pipeline, scope, size = CROPS[case]
    dataset = dict(type="A", pipeline=pipeline)
    dataset = dict(type="RepeatDataset", dataset=dataset) if wrapped else dataset
    cfg = Config(dict(default_scope=scope, train_dataloader=dict(dataset=dataset)))
    assert crop_of(cfg) == size


def test_the_sum_is_of_what_is_chosen_as_often_as_it_is_met():
    def computation(name: str) -> Computation:
        return Computation(name, dict(a=Timing(2.0), b=Timing(1.0)), "a", Timing(3.0))

    convolution = Convolution(4, (8, 8), (5, 5), Geometry((1, 1), "same", (1, 1)), "zeros")
    found = Profile(convolution, 5, None, [computation(name) for name in COMPUTATIONS])
    assert "30.0 ms as chosen, 45.0 ms plain 7x7" in report([found])


def test_turns_go_round_and_each_run_follows_one_that_is_not_counted():
    order = []
    runs = {name: lambda name=name: order.append(name) for name in "ab"}
    found = in_turns(runs, repeats=2)
    assert "".join(order) == "aabbaabb"
    assert {name: len(values) for name, values in found.items()} == dict(a=2, b=2)


def test_when_time_is_over_no_run_begins_but_a_first_one_that_is_favoured():
    runs, now = dict.fromkeys("ab", lambda: None), time.perf_counter()
    for times, counts in {
        (now, now): [0, 0],
        (now, now + 99): [1, 0],
        (now + 99, now + 99): [5, 5],
    }.items():
        found = in_turns(runs, 5, *times, favoured="a")
        assert [len(values) for values in found.values()] == counts


def test_the_command_prints_each_way_of_each_convolution(cfg, tmp_path, capsys):
    cfg.dump(tmp_path / "config.py")
    commands.main(
        ["profile", str(tmp_path / "config.py"), "--shape", "64", "64", "--device", "cpu"]
    )
    text = capsys.readouterr().out
    assert "images: 2, height 64, width 64, float32" in text
    assert text.count("chosen\n") == 4 * 3 and text.count("band") == 4 * 3
    assert "8 channels, map 8 x 8, kernel 9 x 9: once" in text
    assert "12 channels, map 4 x 4, kernel 9 x 9: 3 times" in text


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--batch", "0"], "--batch 0"),
        (["--shape", "0", "64"], "--shape 0 64"),
        (["--device", "cuda"], "finds no GPU"),
    ],
)
def test_what_the_command_refuses(flags, words, cfg, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cfg.dump(tmp_path / "config.py")
    with pytest.raises(SystemExit, match=words):
        commands.main(["profile", str(tmp_path / "config.py"), *flags])


def test_the_plain_kernel_has_the_size_that_its_column_says():
    runs = profiling.plain_runs(torch.randn(1, 4, 9, 9), torch.zeros(4), [2, 1])
    values, grad_x, grad_kernel = (run() for run in runs)
    assert values.shape == (1, 4, 5, 9)
    assert grad_x[0].shape == (1, 4, 9, 9) and grad_kernel[1].shape == (4, 1, 7, 7)
