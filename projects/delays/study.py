"""Train what is not trained yet, and tell what came out.

    python -m projects.delays.study polychrony digits
    python -m projects.delays.study          # tells anew, and trains nothing

Run it from the repository's root; digits after `python -m projects.delays.prepare`. It can be
stopped at any moment, and the same command goes on.
"""

from mmdcls.study.command import Table, reproduce

from .report import RESULTS, write_report
from .tables import TABLES
from .training import train_delays
from .truths import train_truth


def main(arguments: list[str] | None = None) -> None:
    tables = {
        name: Table(table.cells, train_delays if table.truth is None else train_truth)
        for name, table in TABLES.items()
    }
    reproduce(__doc__, tables, write_report, RESULTS, arguments)


if __name__ == "__main__":
    main()
