"""Kill a small training again and again, resume it, and see whether anything is lost.

    python tools/analysis_tools/soak_kills.py

Every run is killed (SIGKILL) one to three times, at a random moment or inside the writing of a
checkpoint, resumed by `tools/train.py --resume`, and compared with a run that was left in peace.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from mmengine.config import Config
from tqdm import tqdm

from mmdcls.checkpoint.files import read_torch
from mmdcls.checkpoint.whole import newest_whole

TOOLS = Path(__file__).resolve().parent.parent
DEMO = TOOLS.parent / "configs/demo/dcls-convnext-mini_upernet_1xb2-360_cells-256x256.py"
NAME = "iter_{}.pth"
ITERATIONS, INTERVAL = 24, 4
MOST_KILLS = 3
# What training logs -> what it tells.
TRAINED = re.compile(r"Iter\(train\) \[\s*(\d+)/")
SAVES = re.compile(r"Saving checkpoint at (\d+) iterations")
RESUMED = re.compile(r"resumed epoch: \d+, iter: (\d+)")


@dataclass
class Kill:
    """Iterations that were logged before, and the one that training resumed from afterwards."""

    trained: int
    in_a_write: bool
    resumed: int = 0

    @property
    def lost(self) -> int:
        return self.trained - self.resumed


@dataclass
class Run:
    kills: list[Kill] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    equal: bool = False


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments; default %(default)s")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/soak/kills"))
    parsed = parser.parse_args(arguments)
    subprocess.run([sys.executable, TOOLS / "prepare_cells.py"], check=True)
    parsed.out = parsed.out.resolve()
    shutil.rmtree(parsed.out, ignore_errors=True)
    parsed.out.mkdir(parents=True)
    config = small_config(parsed.out)
    peaceful = parsed.out / "peaceful"
    run = Run()
    finish(config, peaceful, run)
    if run.faults:
        raise SystemExit(f"The run that was left in peace: {run.faults[0]}")
    random_ = random.Random(parsed.seed)
    runs = []
    with tqdm(range(parsed.runs), desc="killed and resumed", unit="run") as bar:
        for number in bar:
            runs.append(killed_run(config, parsed.out / f"run_{number:02d}", peaceful, random_))
            bar.set_postfix(kills=sum(len(run.kills) for run in runs))
    (parsed.out / "kills.json").write_text(json.dumps([asdict(run) for run in runs], indent=1))
    print(report(runs))
    if any(run.faults or not run.equal for run in runs):
        raise SystemExit(1)


def small_config(folder: Path) -> Path:
    """The demo with crops of 64 pixels and a block a stage, which draws and averages as it can."""
    cfg = Config.fromfile(DEMO)
    cfg.train_dataloader.dataset.pipeline[3].crop_size = (64, 64)
    cfg.val_dataloader.dataset.indices = 1
    cfg.model.data_preprocessor.size = (64, 64)
    cfg.model.backbone.update(arch=dict(cfg.model.backbone.arch, depths=[1, 1, 1, 1]))
    cfg.model.backbone.drop_path_rate = 0.2
    cfg.train_cfg.update(max_iters=ITERATIONS, val_interval=2 * INTERVAL)
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.update(interval=INTERVAL, max_keep_ckpts=2)
    cfg.custom_hooks += [dict(type="EMAHook"), dict(type="mmdcls.ExactResume")]
    cfg.dump(folder / "soak.py")
    return folder / "soak.py"


def killed_run(config: Path, work_dir: Path, peaceful: Path, random_: random.Random) -> Run:
    run = Run()
    for _ in range(random_.randint(1, MOST_KILLS)):
        kill = train_and_kill(config, work_dir, run, random_)
        if kill is None:
            break
        run.kills.append(kill)
    finish(config, work_dir, run)
    if not run.faults:
        run.equal = same_weights(work_dir, peaceful)
    return run


def start(config: Path, work_dir: Path) -> subprocess.Popen:
    command = [sys.executable, TOOLS / "train.py", config, "--work-dir", work_dir, "--resume"]
    return subprocess.Popen(
        command,
        # One thread adds in one order.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def lines_of(process: subprocess.Popen, run: Run) -> Iterator[str]:
    """What training says; where it says what it resumed from, the last kill is judged by it."""
    for line in process.stdout:
        if run.kills and (found := RESUMED.search(line)):
            judge(run, int(found[1]))
        yield line


def judge(run: Run, resumed: int) -> None:
    kill = run.kills[-1]
    kill.resumed = resumed
    if kill.lost > INTERVAL:
        run.faults.append(f"{kill.lost} iterations were lost, and {INTERVAL} is the interval")


def train_and_kill(config: Path, work_dir: Path, run: Run, random_: random.Random) -> Kill | None:
    """Kill when a random iteration has come; None where training ended before."""
    whole = newest_whole(work_dir, NAME)[0]
    reached = read_torch(whole)["meta"]["iter"] if whole else 0
    victim = random_.randint(reached + 1, ITERATIONS)
    in_a_write, share = random_.random() < 0.5, random_.random()
    trained, moment, pace = reached, None, 0.0
    process = start(config, work_dir)
    for line in lines_of(process, run):
        if found := TRAINED.search(line):
            trained = int(found[1])
            now = time.monotonic()
            pace, moment = now - moment if moment else 0.0, now
            if not in_a_write and trained >= victim:
                time.sleep(share * pace)
                break
        elif in_a_write and (found := SAVES.search(line)) and int(found[1]) >= victim:
            wait_for_part(process, work_dir)
            break
    process.kill()
    process.communicate()
    if process.returncode == 0:
        return None
    if process.returncode > 0:
        run.faults.append(f"training failed with status {process.returncode}")
    return Kill(trained, in_a_write=bool(list(work_dir.glob(".*.part"))))


def wait_for_part(process: subprocess.Popen, work_dir: Path) -> None:
    while process.poll() is None and not list(work_dir.glob(".iter_*.part")):
        pass


def finish(config: Path, work_dir: Path, run: Run) -> None:
    process = start(config, work_dir)
    said = list(lines_of(process, run))
    if process.wait():
        run.faults.append(f"resuming failed: {''.join(said[-3:]).strip()}")
    elif newest_whole(work_dir, NAME) != (work_dir / NAME.format(ITERATIONS), {}):
        run.faults.append("the last checkpoint is not whole")
    elif parts := list(work_dir.glob(".*.part")):
        run.faults.append(f"{parts[0]} was left behind")


def same_weights(work_dir: Path, peaceful: Path) -> bool:
    """To the last bit, averages too."""
    ours, theirs = (read_torch(f / NAME.format(ITERATIONS)) for f in (work_dir, peaceful))
    return all(
        torch.equal(value, theirs[part][name])
        for part in ("state_dict", "ema_state_dict")
        for name, value in ours[part].items()
    )


def report(runs: list[Run]) -> str:
    kills = [kill for run in runs for kill in run.kills]
    lost = [kill.lost for kill in kills]
    finished = [run for run in runs if not run.faults]
    lines = [
        f"{len(finished)} of {len(runs)} runs resumed and finished, after {len(kills)} kills, "
        f"{sum(kill.in_a_write for kill in kills)} of them inside the writing of a checkpoint.",
        f"Iterations lost by a kill: {sum(lost) / max(len(lost), 1):.1f} in the mean, "
        f"{max(lost, default=0)} at most; a checkpoint was written every {INTERVAL}.",
        f"{sum(run.equal for run in runs)} of {len(runs)} ended with the weights and averages of "
        f"the run that was left in peace, bit for bit.",
    ]
    lines += [f"run {i}: {fault}" for i, run in enumerate(runs) for fault in run.faults]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
