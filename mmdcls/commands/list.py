"""Show the configs that come with mmdcls: task, kernel, published figures, weights, models."""

import sys
from collections.abc import Sequence

from mmdcls.errors import InputError
from mmdcls.zoo import Entry, entries

from .parsing import command_parser


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_parser("list", __doc__, "mmdcls list upernet")
    parser.add_argument(
        "pattern",
        nargs="?",
        default="",
        help="part of a name or of a task, with * for anything; default: all of them",
    )
    parsed = parser.parse_args(arguments)
    found = [lines_of(entry) for entry in entries(parsed.pattern)]
    if not found:
        raise InputError(f"No config is called {parsed.pattern!r}; `mmdcls list` shows them all.")
    sys.stdout.write("\n".join(found))


def lines_of(entry: Entry) -> str:
    rows = {
        "task": entry.task,
        "kernel": entry.kernel,
        "figures": ", ".join(f"{name} {value}" for name, value in entry.figures.items()),
        "weights": entry.weights,
        "trained": entry.model and f"mmdcls predict --model {entry.model} IMAGE",
    }
    lines = [f"  {title:8} {text}\n" for title, text in rows.items() if text]
    return "".join([f"{entry.name}\n", *lines])
