"""Show what is installed, what is broken, and the command that mends it."""

import sys
from collections.abc import Sequence

from mmdcls.installation.diagnosis import problems_of, report
from mmdcls.installation.environment import examine

from .parsing import command_parser

EXAMPLE = "mmdcls doctor"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 if there is a problem, else 0."""
    command_parser("doctor", __doc__, EXAMPLE).parse_args(arguments)
    environment = examine()
    problems = problems_of(environment)
    sys.stdout.write(report(environment, problems))
    return 1 if problems else 0
