"""Learn the delays of task 1, and draw them beside the true ones: under a minute.

python -m projects.delays.demo
"""

import argparse
from pathlib import Path

import numpy as np

from mmdcls.running.failures import in_a_sentence

from .pictures import draw
from .tables import TABLES
from .training import train_delays


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("work_dirs/demo_delays"))
    parser.add_argument("--seed", type=int, default=0, help="of the task and of the training")
    parsed = parser.parse_args(arguments)
    (cell,) = (
        cell
        for cell in TABLES["polychrony"].cells(range(parsed.seed, parsed.seed + 1))
        if cell.arm == "learned"
    )
    print("Learning 200 delays from 2,000 clips of spikes ...")
    with in_a_sentence():
        record = train_delays(cell)
    parsed.out.mkdir(parents=True, exist_ok=True)
    path = parsed.out / "delays.png"
    draw(np.array(record["table_of_delays"]), parsed.seed, path)
    print(
        f"{record['seconds']:.0f} s: {record['test']['accuracy']:.1f} % of the test clips are "
        f"right, with {record['after']['learnable']:.0f} parameters; "
        f"{record['after']['recovered']:.0f} % of the delays are the true ones, to a step."
    )
    print(path)


if __name__ == "__main__":
    main()
