"""Train what is not trained yet, and tell what came out.

    python -m projects.delays.study polychrony digits
    python -m projects.delays.study          # tells anew, and trains nothing

Run it from the repository's root; digits after `python -m projects.delays.prepare`. It can be
stopped at any moment, and the same command goes on.
"""

import argparse
import time
from pathlib import Path

from mmdcls.running.failures import in_a_sentence
from mmdcls.study.run import Outcome, run_cells

from .report import RESULTS, write_report
from .tables import TABLES
from .training import train_delays
from .truths import train_truth


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])

    def add(name: str, text: str, **options) -> None:
        parser.add_argument(name, help=text, **options)

    add("tables", f"{', '.join(TABLES)}; none tells what is trained", nargs="*", metavar="TABLE")
    add("--seeds", "how many; default %(default)s", type=int, default=5)
    add("--workers", "processes; 0 is this one; default %(default)s", type=int, default=1)
    add("--seconds", "begin no cell after so many", type=float)
    add("--results", "folder of the records; default %(default)s", type=Path, default=RESULTS)
    parsed = parser.parse_args(arguments)
    if unknown := set(parsed.tables) - set(TABLES):
        parser.error(f"{', '.join(sorted(unknown))} is unknown; there are {', '.join(TABLES)}")
    until = None if parsed.seconds is None else time.monotonic() + parsed.seconds
    total = Outcome()
    with in_a_sentence():
        for name in parsed.tables:
            seconds = None if until is None else until - time.monotonic()
            table = TABLES[name]
            cells = table.cells(range(parsed.seeds))
            train = train_delays if table.truth is None else train_truth
            total.add(run_cells(cells, parsed.results, parsed.workers, "cpu", seconds, train))
        for path in write_report(parsed.results):
            print(path)
    if parsed.tables:
        total.tell(parsed.results)


if __name__ == "__main__":
    main()
