"""Train the demo for long, and see whether memory, threads or open files grow.

    python tools/analysis_tools/soak_growth.py --iterations 2000

Validates and writes a checkpoint every 100 iterations. Memory is what the system has given to the
process, heap what of it is in use, as glibc counts it; so it needs Linux with glibc.
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from tqdm import tqdm

from mmdcls.running.runner import build_runner

matplotlib.use("Agg")
TOOLS = Path(__file__).resolve().parent.parent
DEMO = TOOLS.parent / "configs/demo/dcls-convnext-mini_upernet_1xb2-360_cells-256x256.py"
INTERVAL = 100
EVERY = 10
# Growth is a rise of more than this share from the second to the last quarter of the training. In
# the first, caches and the allocator's gaps are filled.
MOST_RISE = 0.02
QUANTITIES = dict(memory="MB", heap="MB", threads="", files="")


class HeapInfo(ctypes.Structure):
    """struct mallinfo2 of glibc's malloc.h."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


def heap_in_use() -> int:
    """Bytes that were allocated and not yet freed."""
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = HeapInfo
    info = mallinfo2()
    return info.uordblks + info.hblkhd


def state_of_process() -> dict[str, float]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return dict(
        heap=heap_in_use() / 1e6,
        memory=pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        threads=len(os.listdir("/proc/self/task")),
        files=len(os.listdir("/proc/self/fd")),
    )


class Sampler(Hook):
    """Looks at the process every few iterations."""

    priority = "LOWEST"

    def __init__(self, iterations: int) -> None:
        self.samples: list[dict[str, float]] = []
        self.bar = tqdm(total=iterations, desc="soak", unit="iteration", mininterval=5)

    def after_train_iter(self, runner: Runner, batch_idx: int, *others, **results) -> None:
        self.bar.update()
        if self.every_n_train_iters(runner, EVERY):
            self.samples.append(dict(iteration=runner.iter + 1, **state_of_process()))

    def after_train(self, runner: Runner) -> None:
        self.bar.close()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--iterations", type=int, default=2000, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/soak/growth"))
    parsed = parser.parse_args(arguments)
    if parsed.iterations < 2 * INTERVAL:
        raise SystemExit(
            f"--iterations {parsed.iterations}: give {2 * INTERVAL} or more, for growth is judged "
            f"by quarters"
        )
    subprocess.run([sys.executable, TOOLS / "prepare_cells.py"], check=True)
    samples = train(parsed.iterations, parsed.out)
    (parsed.out / "growth.json").write_text(json.dumps(samples))
    rises = {name: rise(samples, name) for name in QUANTITIES}
    draw(samples, parsed.out / "growth.png")
    print(table(samples, rises))
    print(f"picture: {parsed.out / 'growth.png'}")
    if growing := [name for name, value in rises.items() if value > MOST_RISE]:
        raise SystemExit(f"growing: {', '.join(growing)}")


def train(iterations: int, work_dir: Path) -> list[dict[str, float]]:
    cfg = Config.fromfile(DEMO)
    cfg.launcher = "none"
    cfg.work_dir = str(work_dir)
    cfg.log_level = "WARNING"
    cfg.train_cfg.update(max_iters=iterations, val_interval=INTERVAL)
    cfg.param_scheduler[1].end = iterations
    cfg.default_hooks.checkpoint.update(interval=INTERVAL, max_keep_ckpts=2)
    runner = build_runner(cfg)
    sampler = Sampler(iterations)
    runner.register_hook(sampler)
    runner.train()
    return sampler.samples


def quarter(samples: list[dict[str, float]], number: int) -> list[dict[str, float]]:
    end = samples[-1]["iteration"]
    return [s for s in samples if number - 1 < 4 * s["iteration"] / end <= number]


def rise(samples: list[dict[str, float]], name: str) -> float:
    """How much the least or the greatest value rises from one quarter to the other, if both do.

    What leaks lifts both; what comes and goes, such as the last batch that was validated, does not.
    """
    before, after = ([s[name] for s in quarter(samples, number)] for number in (2, 4))
    return min(max(after) / max(before), min(after) / min(before)) - 1


def table(samples: list[dict[str, float]], rises: dict[str, float]) -> str:
    lines = [f"{'iteration':>10}" + "".join(f"{name:>12}" for name in QUANTITIES)]
    for sample in samples:
        if sample["iteration"] % INTERVAL == 0:
            values = "".join(f"{sample[name]:12.0f}" for name in QUANTITIES)
            lines.append(f"{sample['iteration']:>10}{values}")
    lines.append(f"{'rise':>10}" + "".join(f"{value:>12.2%}" for value in rises.values()))
    lines.append(
        f"rise from the second to the last quarter, of the least or the greatest value; memory and "
        f"heap in MB; growth is what rises by more than {MOST_RISE:.0%}"
    )
    return "\n".join(lines)


def draw(samples: list[dict[str, float]], path: Path) -> None:
    figure = Figure(figsize=(6.4, 5.4), layout="constrained")
    axes = figure.subplots(len(QUANTITIES), sharex=True)
    for ax, (name, unit) in zip(axes, QUANTITIES.items(), strict=True):
        ax.plot([s["iteration"] for s in samples], [s[name] for s in samples], color="0.55")
        for number in (2, 4):
            part = quarter(samples, number)
            values = [sample[name] for sample in part]
            span = [part[0]["iteration"], part[-1]["iteration"]]
            ax.fill_between(span, min(values), max(values), alpha=0.4)
        ax.set_ylabel(f"{name} ({unit})" if unit else name)
        ax.set_ylim(0, 1.1 * max(sample[name] for sample in samples))
    axes[-1].set_xlabel("iteration")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
