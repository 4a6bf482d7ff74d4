"""Show what is installed, what is broken, and the command that mends it."""

import sys
from collections.abc import Sequence
from pathlib import Path

import mmdcls
from mmdcls.installation.diagnosis import problems_of, report
from mmdcls.installation.environment import examine

from .parsing import command_parser

EXAMPLE = "mmdcls doctor"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 if there is a problem, else 0."""
    command_parser("doctor", __doc__, EXAMPLE).parse_args(arguments)
    environment = examine()
    problems = problems_of(environment)
    # Which of several checkouts and installations it is.
    sys.stdout.write(f"mmdcls    {mmdcls.__version__}, in {Path(mmdcls.__file__).parent}\n")
    sys.stdout.write(report(environment, problems))
    return 1 if problems else 0
