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
import numpy as np
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from tqdm import tqdm

from mmdcls.launch import build_runner

matplotlib.use("Agg")
TOOLS = Path(__file__).resolve().parent.parent
DEMO = TOOLS.parent / "configs/demo/dcls-convnext-mini_upernet_1xb2-360_cells-256x256.py"
INTERVAL = 100
EVERY = 10
# Of its mean, how much the line through the second half of a quantity may rise. In the first half,
# memory grows by the gaps that an allocator leaves before it settles.
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
            f"in the second half"
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


def judged(samples: list[dict[str, float]], name: str) -> tuple[np.ndarray, np.ndarray]:
    kept = [sample for sample in samples if 2 * sample["iteration"] > samples[-1]["iteration"]]
    return tuple(np.array([sample[key] for sample in kept]) for key in ("iteration", name))


def rise(samples: list[dict[str, float]], name: str) -> float:
    """How much the line of least squares rises in the second half, as a share of its mean."""
    iterations, values = judged(samples, name)
    slope = np.polyfit(iterations, values, 1)[0]
    return float(slope * (iterations[-1] - iterations[0]) / values.mean())


def table(samples: list[dict[str, float]], rises: dict[str, float]) -> str:
    lines = [f"{'iteration':>10}" + "".join(f"{name:>12}" for name in QUANTITIES)]
    for sample in samples:
        if sample["iteration"] % INTERVAL == 0:
            values = "".join(f"{sample[name]:12.0f}" for name in QUANTITIES)
            lines.append(f"{sample['iteration']:>10}{values}")
    lines.append(f"{'rise':>10}" + "".join(f"{value:>12.2%}" for value in rises.values()))
    lines.append(
        f"rise of the line through the second half, as a share of its mean; memory and heap in MB; "
        f"growth is what rises by more than {MOST_RISE:.0%}"
    )
    return "\n".join(lines)


def draw(samples: list[dict[str, float]], path: Path) -> None:
    figure = Figure(figsize=(6.4, 5.4), layout="constrained")
    axes = figure.subplots(len(QUANTITIES), sharex=True)
    for ax, (name, unit) in zip(axes, QUANTITIES.items(), strict=True):
        ax.plot([s["iteration"] for s in samples], [s[name] for s in samples], color="0.55")
        iterations, values = judged(samples, name)
        ax.plot(iterations, np.polyval(np.polyfit(iterations, values, 1), iterations))
        ax.set_ylabel(f"{name} ({unit})" if unit else name)
        ax.set_ylim(bottom=0)
    axes[-1].set_xlabel("iteration")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
