"""mmseg's and mmdet's own train.py and test.py run our configs as they are."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from mmengine.config import Config

from helpers import synthetic
from helpers.catalogue import leaf_of

pytestmark = pytest.mark.slow

CASES = [
    ("mmseg", leaf_of("upernet", "tiny_"), ["--tta"], "mIoU"),
    ("mmdet", leaf_of("mask_rcnn", "-t_"), [], "segm_mAP"),
]


def run(package: str, tool: str, arguments: list[str], options: dict, folder: Path) -> str:
    script = Path(find_spec(package).origin).parent / ".mim" / "tools" / f"{tool}.py"
    given = ["--work-dir", folder, "--cfg-options", *synthetic.written(options)]
    done = subprocess.run(
        [sys.executable, script, *arguments, *given],
        cwd=folder,
        # At this size, threads that wait for each other cost more than they give.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


@pytest.mark.parametrize(("package", "config", "flags", "metric"), CASES, ids=["mmseg", "mmdet"])
def test_stock_tools_train_and_test(package, config, flags, metric, tmp_path):
    cfg = Config.fromfile(config)
    options = {
        **synthetic.write_data(cfg, tmp_path / "data"),
        **synthetic.in_process(),
        **synthetic.thin_model(cfg),
        **synthetic.few_iterations(cfg),
    }
    trained = run(package, "train", [config], options, tmp_path)
    assert "Optimiser groups" in trained
    assert metric in trained
    (checkpoint,) = tmp_path.glob("*.pth")
    tested = run(package, "test", [config, checkpoint, *flags], options, tmp_path)
    assert metric in tested
