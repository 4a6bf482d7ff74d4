"""The benchmark of a GPU runs without one, goes on where it stopped, and is reported as it is."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from helpers.catalogue import CONFIGS

ROOT = CONFIGS.parent
TOOLS = ROOT / "tools" / "analysis_tools"
sys.path.insert(0, str(TOOLS))
import benchmark_gpu_report as report  # noqa: E402

# What was measured with a prototype has another form.
MEASURED = [
    path
    for path in sorted((ROOT / "benchmarks").glob("*.jsonl"))
    if not path.stem.endswith("prototype")
]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton: pip install triton")
def test_it_runs_dry_and_goes_on_where_it_stopped(tmp_path):
    command = [sys.executable, str(TOOLS / "benchmark.py"), "--device", "cuda", "--dry"]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}

    def run(*options: str) -> str:
        command_line = [*command, "--out", str(tmp_path), *options]
        done = subprocess.run(command_line, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    path = tmp_path / "gpu.jsonl"
    assert "run it again" in run("--seconds", "5")
    first = path.read_text()
    run()
    whole = path.read_text()
    assert whole.startswith(first)
    run()
    assert path.read_text() == whole
    rows = [json.loads(line) for line in whole.splitlines()]
    assert not [row for row in rows if "failed" in row]
    figures = {row["of"]["figure"] for row in rows}
    assert figures == {"environment", "step", "construction", "convolution"}
    assert len({json.dumps(row["of"]) for row in rows}) == len(rows)


def rows_of(eager: float) -> list[dict]:
    step = dict(figure="step", dtype="torch.bfloat16", batch=2, side=512, framework=False)
    convolution = dict(figure="convolution", dtype="torch.bfloat16", kernel=17, map="stage1")
    return [
        dict(
            of=dict(figure="environment"),
            gpu="A card",
            date="today",
            torch="2",
            triton="3",
            cudnn=9,
        ),
        dict(of=dict(kind="plain 7x7", **step), eager=1e4, graph=5e3, megabytes=100.0),
        dict(of=dict(kind="DCLS", **step), eager=eager, graph=5.5e3, megabytes=110.0),
        *(
            dict(
                of=dict(**convolution, way=way, format=layout, computation=computation),
                eager=9.0,
                graph=2.0 if way == "band" else 10.0 if layout == "NCHW" else 30.0,
            )
            for way, layout in report.WAYS
            for computation in report.COMPUTATIONS
        ),
        dict(of=dict(figure="construction", kind="bilinear", framework=True), eager=7.0, graph=3.0),
    ]


def test_the_section_of_a_machine_has_ratios_to_the_plain_step_and_to_the_better_format():
    text = report.section(rows_of(eager=1.2e4))
    assert "| DCLS |  | bfloat16 | 2 | 12.00 | 1.20 | 5.50 | 1.10 | 110 | 1.10 |" in text
    times = "2 + 2 + 2 | 30 + 30 + 30 | 10 + 10 + 10"
    assert f"| bfloat16 | 17x17 | stage1 | {times} | 5.0 |" in text
    assert "| bilinear | the framework | 7 | 3 |" in text


@pytest.mark.parametrize("path", MEASURED, ids=lambda path: path.stem)
def test_the_page_has_the_section_of_every_machine_that_was_measured(path: Path):
    assert report.section(report.read(path)) in (ROOT / "docs" / "benchmarks.md").read_text()


@pytest.mark.parametrize("path", MEASURED, ids=lambda path: path.stem)
def test_every_row_says_what_it_measures_and_how_long_it_took(path: Path):
    rows = report.read(path)
    assert rows[0]["of"] == dict(figure="environment") and rows[0]["gpu"]
    assert len({json.dumps(row["of"], sort_keys=True) for row in rows}) == len(rows)
    for row in rows[1:]:
        names = dict(
            step={"kind", "dtype", "batch", "side", "framework"},
            construction={"kind", "framework"},
            convolution={"map", "kernel", "dtype", "way", "format", "computation"},
        )[row["of"]["figure"]]
        assert names == row["of"].keys() - {"figure", "kernels"}
        times = {name: row[name] for name in ("eager", "graph") if name in row}
        assert times and all(microseconds > 0 for microseconds in times.values())
        assert row["of"]["figure"] != "step" or row["megabytes"] > 0
