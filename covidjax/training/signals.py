"""SIGTERM and SIGINT during training: the first one asks for a save, the second one ends."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class StoppedError(BaseException):
    """SIGTERM or SIGINT came; the state is saved and the same command resumes.

    Attributes:
      signal: the number of the one that came.
      everywhere: all processes of the run have agreed on it, and raise it.
    """

    def __init__(self, message: str, number: int, *, everywhere: bool = False) -> None:
        super().__init__(message)
        self.signal, self.everywhere = number, everywhere


@contextmanager
def requests() -> Iterator[list[int]]:
    """Collects the first SIGTERM or SIGINT; the second one ends the process as ever."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}

    def receive(number: int, _: Any) -> None:
        received.append(number)
        signal.signal(number, before[signal.Signals(number)])

    for number in numbers:
        signal.signal(number, receive)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
