"""What the commands' parsers share."""

import argparse


def command_parser(
    command: str, description: str | None, example: str, note: str = ""
) -> argparse.ArgumentParser:
    """example: a whole command line, that runs where the files that it names are.

    note: lines that stand above it.
    """
    return argparse.ArgumentParser(
        prog=f"mmdcls {command}",
        description=description,
        epilog=f"{note}\n\nexample:\n  {example}".lstrip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
