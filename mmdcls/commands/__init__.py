"""The console command `mmdcls`; each of its commands is a file here."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module

from mmdcls import __version__
from mmdcls.running.failures import in_a_sentence

# Command, a module here whose main(arguments) runs it, and its line in the help.
COMMANDS = {
    "list": "show the configs that come with mmdcls: task, kernel, figures, weights",
    "config": "write a copy of such a config, to edit",
    "check": "look for what would make training wrong, in settings and in data",
    "convert": "turn a checkpoint into one of ours, or back",
    "convs": "list the convolutions that can become DCLS layers, and what a rule would do",
    "train": "train a model, segmentor or detector",
    "test": "evaluate a trained model",
    "doctor": "show what is installed, and how to mend what is broken",
    "deploy": "write a model that needs no mmdcls: torch.export, ONNX",
    "flops": "count parameters and multiply-adds, part by part",
    "profile": "time each way of a config's convolutions on this machine",
    "predict": "predict on images with a trained model, and draw what it finds",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    lines = [f"  {name:10}  {summary}" for name, summary in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="mmdcls",
        description="DCLS for OpenMMLab.",
        epilog="\n".join(["commands:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mmdcls {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="command")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="mmdcls COMMAND --help")
    chosen = parser.parse_args(arguments)
    with in_a_sentence(), naming_the_doctor(chosen.command):
        # What one command needs may be broken where another, such as doctor, must run.
        return import_module(f"{__name__}.{chosen.command}").main(chosen.arguments) or 0


@contextmanager
def naming_the_doctor(command: str) -> Iterator[None]:
    """End a command with a sentence where an import is what fails in it."""
    try:
        yield
    except ImportError as error:
        raise SystemExit(
            f"mmdcls {command} needs something that does not import ({type(error).__name__}: "
            f"{error}); `mmdcls doctor` tells what is missing or broken, and how to mend it."
        ) from error
