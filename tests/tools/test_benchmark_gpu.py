"""The benchmark of a GPU runs without one, goes on where it stopped, and is reported as it is."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from helpers.catalogue import CONFIGS

ROOT = CONFIGS.parent
TOOLS = ROOT / "tools" / "analysis_tools"
sys.path.insert(0, str(TOOLS))
import benchmark_gpu_report as report  # noqa: E402
import measure_crossovers_gpu as crossovers  # noqa: E402
from benchmark_convnext import GAUSSIAN, KINDS, OURS, PLAIN, PUBLISHED, ConvNeXt  # noqa: E402
from benchmark_gpu_aims import aims  # noqa: E402
from benchmark_gpu_rows import BAND, COMPUTATIONS, FRAMEWORK, TUNED, read  # noqa: E402

# What was measured with a prototype has another form.
MEASURED = [
    path
    for path in sorted((ROOT / "benchmarks").glob("*.jsonl"))
    if not path.stem.endswith("prototype")
]


# Of a figure, what its rows say they are of, and what some of them say beside.
FIELDS = {
    "environment": (set(), set()),
    "step": ({"kind", "dtype", "batch", "side", "framework"}, {"cudnn"}),
    "upernet": ({"kind", "dtype", "batch", "side"}, set()),
    "iteration of UPerNet": ({"kind", "dtype", "batch", "side", "graphed"}, set()),
    "inference": ({"kind", "form", "dtype", "batch", "side"}, set()),
    "construction": ({"kind", "framework"}, set()),
    "kernel from shares": ({"channels", "kernel", "count", "computation"}, {"version"}),
    "construction of a step": ({"kind"}, set()),
    "convolution": ({"map", "kernel", "dtype", "way", "format", "computation"}, {"cudnn"}),
    "errors": ({"map", "kernel", "dtype"}, set()),
}


def assert_rows_say_what_they_measure(rows: list[dict]) -> None:
    assert rows[0]["of"] == dict(figure="environment") and rows[0]["torch"] and rows[0]["date"]
    assert len({json.dumps(row["of"], sort_keys=True) for row in rows}) == len(rows)
    for row in rows[1:]:
        needed, optional = FIELDS[row["of"]["figure"]]
        assert needed <= row["of"].keys() <= needed | optional | {"figure"}
        if row["of"]["figure"] == "errors":
            for way in ("band", "framework"):
                assert row[way].keys() == set(COMPUTATIONS)
                assert all(0 <= error < 1 for error in row[way].values())
        else:
            times = {name: row[name] for name in ("eager", "graph") if name in row}
            assert times and all(microseconds > 0 for microseconds in times.values())


def dry(script: str, out: Path, *options: str) -> str:
    command = [sys.executable, str(TOOLS / script), "--device", "cuda", "--dry", "--out", str(out)]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


needs_triton = pytest.mark.skipif(
    find_spec("triton") is None, reason="needs Triton: pip install triton"
)


@pytest.mark.slow
@needs_triton
def test_it_runs_dry_and_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "gpu.jsonl"
    assert "run it again" in dry("benchmark.py", tmp_path, "--seconds", "5")
    first = path.read_text()
    dry("benchmark.py", tmp_path)
    whole = path.read_text()
    assert whole.startswith(first)
    dry("benchmark.py", tmp_path)
    assert path.read_text() == whole
    rows = [json.loads(line) for line in whole.splitlines()]
    assert not [row for row in rows if "failed" in row]
    assert_rows_say_what_they_measure(rows)
    assert {row["of"]["figure"] for row in rows} == FIELDS.keys()
    steps = [row["of"] for row in rows if row["of"]["figure"] == "step"]
    kinds = {of["kind"] for of in steps}
    assert kinds >= {PLAIN, OURS, GAUSSIAN, f"{PLAIN}, NCHW"}
    assert kinds >= set(PUBLISHED) or not find_spec("DCLS")
    assert {(of["dtype"], of["batch"]) for of in steps} == {
        (f"torch.{dtype}", batch)
        for dtype in ("bfloat16", "float16", "float32")
        for batch in (2, 16)
    }
    assert {of.get("cudnn") for of in steps} == {None, "benchmark"}
    assert {of["framework"] for of in steps} == {True, False}
    # What is there is not measured again.
    assert "BAND_FROM" in dry("measure_crossovers.py", tmp_path)
    assert path.read_text() == whole


@pytest.mark.slow
@needs_triton
def test_crossovers_run_dry_by_themselves(tmp_path):
    assert "run it again" in dry("measure_crossovers.py", tmp_path, "--seconds", "0")
    assert "measured: bfloat16 3x3" in dry("measure_crossovers.py", tmp_path)
    assert_rows_say_what_they_measure(read(tmp_path / "gpu.jsonl"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_backbone_of_the_benchmark_trains(kind):
    if kind in PUBLISHED and not find_spec("DCLS"):
        pytest.skip("needs dcls==0.1.1")
    model = ConvNeXt(KINDS[kind], depths=(2, 1, 1, 1), channels=(4, 4, 4, 4))
    loss = sum(one.square().sum() for one in model(torch.randn(1, 3, 32, 32)))
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())


def convolution_rows(kernel: int, band: float, dtype: str = "bfloat16") -> list[dict]:
    """Microseconds of each computation of the band; the framework has 10 in its better format."""
    times = {BAND: band, **dict(zip(FRAMEWORK, (30.0, 10.0), strict=True))}
    return [
        dict(
            of=dict(
                figure="convolution",
                map="stage1",
                kernel=kernel,
                dtype=f"torch.{dtype}",
                way=way,
                format=layout,
                computation=computation,
            ),
            eager=99.0,
            graph=times[way, layout, cudnn],
        )
        for way, layout, cudnn in times
        for computation in COMPUTATIONS
    ]


def rows_of(eager: float) -> list[dict]:
    step = dict(figure="step", dtype="torch.bfloat16", batch=2, side=512, framework=False)
    return [
        dict(
            of=dict(figure="environment"),
            gpu="A card",
            capability=[9, 0],
            date="today",
            torch="2",
            triton="3",
            cudnn=9,
        ),
        dict(of=dict(kind=PLAIN, **step), eager=1e4, graph=5e3, megabytes=100.0),
        dict(of=dict(kind=OURS, **step), eager=eager, graph=5.5e3, megabytes=110.0),
        *convolution_rows(17, 2.0),
        dict(of=dict(figure="construction", kind="bilinear", framework=True), eager=7.0, graph=3.0),
        dict(of=dict(figure="construction of a step", kind=OURS), eager=900.0, graph=110.0),
    ]


def test_the_section_of_a_machine_has_ratios_to_the_plain_step_and_to_the_better_format():
    text = report.section(rows_of(eager=1.2e4))
    assert f"| {OURS} | bfloat16 | 2 | 12.00 | 1.20 | 5.50 | 1.10 | 110 | 1.10 |" in text
    times = "2 + 2 + 2 | 30 + 30 + 30 | 10 + 10 + 10"
    assert f"| bfloat16 | 17x17 | stage1 | {times} | 5.0 |" in text
    assert "| a layer, bilinear | the framework | 7 | 3 |" in text


def verdicts(rows: list[dict]) -> dict[str, tuple[str, str]]:
    """By words of the aims."""
    found = aims(rows, {"bfloat16": 9})
    words = {
        "graph": f"step of {OURS}, as a CUDA graph: at most 1.10",
        "later": f"step of {OURS}, as a CUDA graph: at most 1.00",
        "eager": f"step of {OURS}, launched",
        "gaussian": f"step of {GAUSSIAN}, as",
        "convolution": "17x17 convolution",
        "never slower": "never slower",
        "construction": "construction",
        "memory": "peak memory",
        "errors": "errors",
    }
    return {
        name: next((measured, met) for aim, measured, met in found if aim.startswith(start))
        for name, start in words.items()
    }


def test_every_aim_stands_beside_what_was_measured():
    found = verdicts(rows_of(eager=1.2e4))
    assert found == {
        "graph": ("1.10", "yes"),
        "later": ("1.10", "no"),
        "eager": ("1.20", "no"),
        "gaussian": ("", "not measured"),
        "convolution": ("5.0 times", "yes"),
        "never slower": ("5.0 times faster at least, of 1 sizes", "yes"),
        "construction": ("2.0 %", "yes"),
        "memory": ("1.10", "no"),
        "errors": ("", "not measured"),
    }
    assert {met for _, met in verdicts(rows_of(1.0)[:1]).values()} == {"not measured"}


def test_aims_are_held_to_the_fastest_of_the_peers():
    rows = rows_of(eager=1e4)
    tuned = dict(rows[1]["of"], kind=f"{PLAIN}, NCHW", cudnn="benchmark")
    rows.append(dict(of=tuned, eager=5e3, graph=4e3, megabytes=200.0))
    for way, layout, cudnn in TUNED:
        for row in convolution_rows(17, 2.0):
            if (row["of"]["way"], row["of"]["format"]) == (way, layout):
                rows.append(dict(of=dict(row["of"], cudnn=cudnn), eager=99.0, graph=1.0))
    found = verdicts(rows)
    assert found["graph"] == (f"{5.5 / 4:.2f}", "no") and found["eager"] == ("2.00", "no")
    assert found["convolution"] == ("0.5 times", "no") and found["never slower"][1] == "no"
    assert found["memory"] == ("1.10", "no")
    assert "`cudnn.benchmark`" in report.section(rows)


def test_errors_are_held_to_those_of_the_framework():
    def row(dtype: str, band: float) -> dict:
        of = dict(figure="errors", map="stage1", kernel=17, dtype=f"torch.{dtype}")
        both = dict(band=band, framework=1e-3)
        return dict(of=of, **{way: dict.fromkeys(COMPUTATIONS, e) for way, e in both.items()})

    good, bad = row("bfloat16", 1e-3), row("float32", 2e-3)
    assert verdicts([*rows_of(1.0), good])["errors"][1] == "yes"
    assert verdicts([*rows_of(1.0), good, bad])["errors"] == (
        "bfloat16 1.00 of it, float32 2.00 of it",
        "no",
    )


def test_the_crossover_is_where_all_larger_kernels_are_faster():
    environment = rows_of(1.0)[0]
    speeds = {5: 2.0, 7: 20.0, 9: 9.0, 17: 2.0}
    rows = [row for kernel, band in speeds.items() for row in convolution_rows(kernel, band)]
    text = crossovers.report([environment, *rows, *convolution_rows(9, 99.0, "float32")])
    assert "BAND_FROM[(9, 0)] = {torch.bfloat16: 9}" in text


def test_kernels_from_shares_stand_beside_those_of_the_version_before():
    of = dict(figure="kernel from shares", channels=96, kernel=17, count=34)
    rows = [
        dict(of=dict(of, computation="values"), graph=3.0),
        dict(of=dict(of, computation="values", version="before"), graph=8.0),
        dict(of=dict(of, computation="gradients"), graph=5.0),
    ]
    assert "| 96 | 17x17/34 | 8.0 | 3.0 |  | 5.0 |" in report.section([*rows_of(1.0), *rows])


def test_a_file_of_crossovers_has_a_section_of_convolutions_alone():
    text = report.section([rows_of(1.0)[0], *convolution_rows(9, 2.0)])
    assert text.startswith("## Where the band is chosen: A card\n\nMeasured on today: torch 2")
    assert "| bfloat16 | 9x9 | stage1 |" in text and "aim" not in text


@pytest.mark.parametrize("path", MEASURED, ids=lambda path: path.stem)
def test_the_page_has_the_section_of_every_machine_that_was_measured(path: Path):
    assert report.section(read(path)) in (ROOT / "docs" / "benchmarks.md").read_text()


@pytest.mark.parametrize("path", MEASURED, ids=lambda path: path.stem)
def test_every_row_says_what_it_measures_and_how_long_it_took(path: Path):
    rows = read(path)
    assert rows[0]["gpu"] and rows[0]["capability"]
    assert_rows_say_what_they_measure(rows)
    assert all(row["megabytes"] > 0 for row in rows if row["of"]["figure"] == "step")
