"""Processes that train cells, one after the other, and this process as if it were several."""

import gc
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from threading import Thread

import torch

from .cells import Cell
from .records import Record

# A cell, and the others that are the same training.
Same = list[Cell]
# Its record, or the traceback of what went wrong.
Result = Record | str


def tried(train: Callable[[Cell], Record], cell: Cell) -> Result:
    try:
        return train(cell)
    # A study goes on without the cell, whatever is wrong with it.
    except Exception:
        return traceback.format_exc()
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class Alone:
    """This process, as a crew."""

    def __init__(self, train: Callable[[Cell], Record]) -> None:
        self.train = train
        self.begun: list[Same] = []

    def __enter__(self) -> "Alone":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def has_room(self) -> bool:
        return not self.begun

    def is_busy(self) -> bool:
        return bool(self.begun)

    def begin(self, same: Same) -> None:
        self.begun.append(same)

    def results(self) -> list[tuple[Same, Result]]:
        same = self.begun.pop()
        return [(same, tried(self.train, same[0]))]


class Crew:
    """Processes that train; one that dies fails its cell alone, and another takes its place."""

    def __init__(self, size: int, device: str | None, train: Callable[[Cell], Record]) -> None:
        self.size, self.device, self.train = size, device, train
        self.idle: list[Worker] = []
        self.busy: dict[Connection, tuple[Worker, Same]] = {}

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *error: object) -> None:
        for worker in (*self.idle, *(worker for worker, _ in self.busy.values())):
            worker.end()

    def has_room(self) -> bool:
        return len(self.busy) < self.size

    def is_busy(self) -> bool:
        return bool(self.busy)

    def begin(self, same: Same) -> None:
        self.idle = [worker for worker in self.idle if worker.process.is_alive()]
        worker = self.idle.pop() if self.idle else Worker(self.size, self.device, self.train)
        worker.connection.send(same[0])
        self.busy[worker.connection] = worker, same

    def results(self) -> list[tuple[Same, Result]]:
        found = []
        for connection in wait(list(self.busy)):
            worker, same = self.busy.pop(connection)
            try:
                result = connection.recv()
                self.idle.append(worker)
            # Reset: it died before it had read its cell.
            except (EOFError, ConnectionResetError):
                worker.process.join()
                result = f"Its process died (exit code {worker.process.exitcode})."
            found.append((same, result))
        return found


class Worker:
    def __init__(self, size: int, device: str | None, train: Callable[[Cell], Record]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        # Not a daemon, which could have no processes that load its data.
        self.process = context.Process(target=work, args=(theirs, train))
        threads = max(1, (os.cpu_count() or 1) // size)
        with environment(OMP_NUM_THREADS=str(threads), **hidden_gpus(device)):
            self.process.start()
        theirs.close()

    def end(self) -> None:
        self.process.terminate()
        self.process.join()
        self.connection.close()


def hidden_gpus(device: str | None) -> dict[str, str]:
    return dict(CUDA_VISIBLE_DEVICES="") if device == "cpu" else {}


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """What a process that starts within finds; torch reads these when it is imported."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def work(connection: Connection, train: Callable[[Cell], Record]) -> None:
    """In a process of its own, which ends with the one that started it, however that ends."""
    # Whoever started it decides what Ctrl-C stops.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=end_with_parent, daemon=True).start()
    while True:
        connection.send(tried(train, connection.recv()))


def end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
