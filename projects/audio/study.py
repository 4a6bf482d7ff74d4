"""Train the table of the spoken prompts, and tell what came out; what is trained stays.

    python -m projects.audio.study
    python -m projects.audio.study --networks convnext --seeds 1
    python -m projects.audio.study --seeds 0      # tells anew, and trains nothing

Run it from the repository's root, after `python -m projects.audio.prepare`. It can be stopped at
any moment, and the same command goes on.
"""

import argparse
from collections.abc import Sequence

from mmdcls.running.failures import in_a_sentence
from mmdcls.study.cells import Cell
from mmdcls.study.command import add_arguments, train_tables
from mmdcls.study.training import train_cell
from projects.audio.report import RESULTS, TABLE, write_report
from projects.audio.tables import ARMS, NETWORKS


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, known in (("--networks", NETWORKS), ("--arms", ARMS)):
        text = f"default all: {', '.join(known)}"
        parser.add_argument(
            name, help=text, nargs="+", choices=known, default=list(known), metavar="NAME"
        )
    add_arguments(parser, RESULTS)
    parsed = parser.parse_args(arguments)
    cells = cells_of(range(parsed.seeds), parsed.networks, parsed.arms)
    with in_a_sentence():
        outcome = train_tables([(cells, train_cell)], parsed)
        for path in write_report(parsed.results):
            print(path)
    if cells:
        outcome.tell(parsed.results)


def cells_of(
    seeds: range, networks: Sequence[str] = tuple(NETWORKS), arms: Sequence[str] = tuple(ARMS)
) -> list[Cell]:
    """Everything under one seed before anything under the next, so that what is not reached lacks
    seeds and no comparison."""
    return [
        Cell(TABLE, network, arm, seed, NETWORKS[network], ARMS[arm].overrides)
        for seed in seeds
        for network in networks
        for arm in arms
    ]


if __name__ == "__main__":
    main()
