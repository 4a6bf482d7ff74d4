"""The console command `mmdcls`."""

import argparse
from collections.abc import Sequence
from importlib import import_module

from mmdcls.failures import sentence_of

# Subcommand: the module whose main(arguments) runs it, and its line in the help.
COMMANDS = {
    "convert": ("mmdcls.checkpoint.convert", "turn a checkpoint into one of ours, or back"),
    "doctor": ("mmdcls.doctor", "show what is installed, and how to mend what is broken"),
    "deploy": ("mmdcls.deploy.command", "write a model that needs no mmdcls: torch.export, ONNX"),
    "predict": ("mmdcls.predict", "predict on images with a trained model, and draw what it finds"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit status."""
    lines = [f"  {name:10}  {summary}" for name, (_, summary) in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="mmdcls",
        description="DCLS for OpenMMLab.",
        epilog="\n".join(["commands:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="command")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="mmdcls COMMAND --help")
    chosen = parser.parse_args(arguments)
    module, _ = COMMANDS[chosen.command]
    try:
        return import_module(module).main(chosen.arguments) or 0
    except Exception as error:
        if sentence := sentence_of(error):
            raise SystemExit(sentence) from error
        raise
