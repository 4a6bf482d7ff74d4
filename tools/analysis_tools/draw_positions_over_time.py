"""Draw where the elements of a training stood in its course, from the folder that it wrote.

    python tools/analysis_tools/draw_positions_over_time.py WORK_DIR --out positions_over_time.png

Reads vis_data/positions.json, which PositionHealth writes at the start, at every `picture_interval`
and at the end, of the newest run in the folder and of those that it went on from.
"""

import argparse
from pathlib import Path

from mmdcls.dcls.drawing_over_time import draw_positions_over_time
from mmdcls.dcls.position_record import Record, read_positions
from mmdcls.errors import InputError
from mmdcls.running.failures import in_a_sentence


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work_dir", type=Path, help="folder that a training wrote")
    parser.add_argument("--out", type=Path, default=Path("positions_over_time.png"))
    parsed = parser.parse_args(arguments)
    with in_a_sentence():
        draw_positions_over_time(record_of(parsed.work_dir), parsed.out)
    print(f"positions over time: {parsed.out}")


def record_of(work_dir: Path) -> Record:
    """Of the newest run, and of earlier ones what came before it, as far as it was resumed."""
    files = sorted(work_dir.glob("*/vis_data/positions.json"), reverse=True)
    if not files:
        raise InputError(
            f"{work_dir} holds no positions: no */vis_data/positions.json there. Name the work "
            f"dir of a training with mmdcls.PositionHealth and a picture_interval above 0."
        )
    record: Record = {}
    for file in files:
        first = min(record, default=float("inf"))
        record |= {step: at for step, at in read_positions(file).items() if step < first}
        if 0 in record:
            break
    return record


if __name__ == "__main__":
    main()
