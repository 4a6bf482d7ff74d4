"""Failures that a person can mend, each as one sentence."""

import errno
import os
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from types import TracebackType
from typing import Any

from mmdcls.errors import InputError, TrainingError

HERE = os.path.dirname(os.path.dirname(__file__)) + os.sep
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
NO_PLACE = (
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
)
# Class or function, as Python names it.
WRONG_OPTIONS = re.compile(
    r"^(\w+)(?:\.__init__)?\(\) (?:got an unexpected keyword|missing \d+ required)"
)
DIED = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is killed by signal: (.+?)\.|exited)"
)


@contextmanager
def in_a_sentence(training: bool = False) -> Iterator[None]:
    """End the program with a sentence where what fails within is for a person to mend."""
    try:
        yield
    except Exception as error:
        if sentence := sentence_of(error, training):
            raise SystemExit(sentence) from error
        raise


def sentence_of(error: BaseException, training: bool = False) -> str | None:
    """What to tell the person, or None where the traceback is what helps."""
    if isinstance(error, InputError):
        # From a worker process the sentence comes at the end of its traceback.
        return str(error).rpartition("InputError: ")[2].strip()
    if isinstance(error, TrainingError) or is_refusal(error):
        return str(error)
    if isinstance(error, TypeError) and (wrong := WRONG_OPTIONS.search(str(error))):
        return wrong_options(error, wrong[1])
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        where = f" to {error.filename}" if error.filename else ""
        kept = "; the last whole checkpoint is kept" if training else ""
        then = ", and train on with --resume" if training else ""
        return (
            f"There is no room left on the disk to write{where} ({error.strerror}){kept}: make "
            f"room{then}."
        )
    if isinstance(error, OSError) and error.errno in NO_PLACE and error.filename:
        return f"{error.filename} cannot be used ({error.strerror}); name another place."
    if isinstance(error, RuntimeError) and (died := DIED.search(str(error))):
        # Where torch finds the process gone, the signal that took it is in the cause.
        known = died[2] or ((cause := DIED.search(str(error.__cause__))) and cause[2])
        return dead_worker(died[1], known)
    return None


def wrong_options(error: TypeError, name: str) -> str | None:
    """For an option that a piece of a config does not know, or lacks."""
    from mmdcls.registry import registered

    if own := registered().get(name):
        piece, scope = own.module_dict[name], "mmdcls."
    else:
        piece, scope = built_in(error.__traceback__, name), ""
    if piece is None:
        return None
    options = ", ".join(signature(piece).parameters)
    return f"{scope}{name}: {' '.join(str(error).split())}; its options are {options or 'none'}."


def built_in(trace: TracebackType | None, name: str) -> Any:
    """The class of this name, or a base of it, that mmengine was building of a config."""
    for frame, _ in traceback.walk_tb(trace):
        built = frame.f_locals.get("obj_cls") if frame.f_code.co_name == "build_from_cfg" else None
        for kind in getattr(built, "__mro__", (built,)):
            if getattr(kind, "__name__", None) == name:
                return kind
    return None


def is_refusal(error: BaseException) -> bool:
    """Whether it says that something given does not serve: a line of ours raised it on purpose."""
    if isinstance(error, InputError):
        return True
    if not isinstance(error, ValueError) or error.__traceback__ is None:
        return False
    last = traceback.extract_tb(error.__traceback__)[-1]
    return last.filename.startswith(HERE) and (last.line or "").startswith("raise ")


def dead_worker(process: str, signal: str | None) -> str:
    if signal and "Bus error" in signal:
        cause, remedy = "because its shared memory ran out", "enlarge /dev/shm"
    elif not signal or "Killed" in signal:
        cause, remedy = "most often because memory ran out", "free memory"
    else:
        cause, remedy = "by a fault in the code that loads images", "look into the system's log"
    return (
        f"The worker process {process} of a data loader has died ({signal or 'unknown signal'}), "
        f"{cause}; {remedy}, or lower num_workers of the data loader (0 loads in the main process, "
        f"and shows the fault), and train on with --resume."
    )
