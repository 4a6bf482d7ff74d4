"""Show what is installed, what is broken, and the command that mends it."""

import argparse
import sys
from collections.abc import Sequence

from mmdcls.installation.diagnosis import problems_of, report
from mmdcls.installation.environment import examine


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 if there is a problem, else 0."""
    argparse.ArgumentParser(prog="mmdcls doctor", description=__doc__).parse_args(arguments)
    environment = examine()
    problems = problems_of(environment)
    sys.stdout.write(report(environment, problems))
    return 1 if problems else 0
