"""Clips of tones, which a network can tell apart, and configs of the audio project made small."""

from pathlib import Path

import numpy as np
from mmengine.config import Config

from projects.audio.audio.sounds import write_sound

PROJECT = Path(__file__).resolve().parents[2] / "projects" / "audio"
RATE = 8000
PARTS = ("training", "validation", "test")
# Of a clip; four stages need as many frames.
SECONDS = 1.4
# Class: frequency in Hz.
TONES = dict(low=300, middle=1000, high=3000)


def tone(frequency: float, seconds: float = 0.5, rate: int = RATE, volume: float = 0.5):
    time = np.arange(round(seconds * rate)) / rate
    return np.round(volume * 2**15 * np.sin(2 * np.pi * frequency * time)).astype(np.int16)


def write_clips(folder: Path, each: int = 2) -> Path:
    """The table of a folder of tones, as many of each class in each part."""
    lines = ["file,label,part"]
    for part in PARTS:
        for name, frequency in TONES.items():
            for number in range(each):
                path = f"{part}/{name}{number}.wav"
                write_sound(folder / path, tone(frequency * (1 + 0.02 * number), SECONDS), RATE)
                lines.append(f"{path},{name},{part}")
    table = folder / "labels.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def write_audioset(folder: Path, seconds: float = 0.2, rate: int = RATE) -> dict[str, str]:
    """Its tables of three classes and three segments, one of which has no file."""
    (folder / "classes.csv").write_text(
        'index,mid,display_name\n0,/m/a,"Speech, all"\n1,/m/b,Music\n2,/m/c,Dog\n'
    )
    (folder / "eval.csv").write_text(
        "# Segments csv created Sun Mar  5 10:54:25 2017\n"
        "# num_ytids=3, num_segs=3, num_unique_labels=3, num_positive_labels=4\n"
        "# YTID, start_seconds, end_seconds, positive_labels\n"
        '-0RWZT-miFs, 420.000, 430.000, "/m/a,/m/c"\n'
        '0123456789a, 0.000, 10.000, "/m/b"\n'
        'gone0000000, 30.000, 40.000, "/m/b"\n'
    )
    for number, name in enumerate(("-0RWZT-miFs", "0123456789a")):
        write_sound(folder / f"clips/Y{name}.wav", tone(500 * (number + 1), seconds, rate), rate)
    return dict(segments=str(folder / "eval.csv"), classes=str(folder / "classes.csv"))


def small(path: Path, table: Path, work_dir: Path) -> Config:
    """A config of the prompts, with two steps of a thin network on such clips."""
    cfg = Config.fromfile(path)
    cfg.work_dir = str(work_dir)
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.param_scheduler = []
    cfg.default_hooks.checkpoint.interval = 2
    cfg.model.backbone.update(widths=(4, 8, 16, 32), depths=(1, 1, 1, 1), num_classes=len(TONES))
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.update(table=str(table), seconds=SECONDS)
        loader.batch_size = 4
    return cfg
