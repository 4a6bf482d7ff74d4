"""A program whose gloo thread still lets go of a tensor when the program ends."""

import atexit
import threading
import time

import torch

from mmdcls.running.processes import end_process


class Slow:
    """Takes a second to be freed, asking for the interpreter's lock again and again.

    Where the main thread, which is quick, frees it, there is nothing to see.
    """

    begun = threading.Event()

    def __del__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            self.begun.set()
            for _ in range(100):
                time.sleep(0.01)


def send() -> None:
    """Returns while a thread of the group lets go of what was sent."""
    while not Slow.begun.wait(0.05):
        tensor = torch.ones(1)
        tensor.slow = Slow()
        group.allreduce([tensor])
        del tensor
    print("sent at the end")


if __name__ == "__main__":
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    # As a wrapped model does, it holds the group beyond its end.
    group = torch.distributed.group.WORLD
    atexit.register(send)
    end_process()
