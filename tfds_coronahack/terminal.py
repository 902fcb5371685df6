"""Printing that neither a reader who has left nor an odd name can end."""

import os
import sys
from typing import Any


class Unbroken:
    """A text stream whose end ends nothing else.

    Where nobody reads any more, as behind `| head`, it goes on quietly; where what it is sent to is
    full, that is said once on stderr.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._go_nowhere(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._go_nowhere(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _go_nowhere(self, error: OSError) -> None:
        """What is still in the buffer, and what comes, has to go somewhere without an error."""
        if not isinstance(error, BrokenPipeError) and self is not sys.stderr:
            print(f"cannot print: {error.strerror}", file=sys.stderr)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def keep_printing() -> None:
    """From now on a closed pipe ends nothing, and what the terminal cannot show is escaped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, Unbroken):
            continue
        if stream is None:  # closed by whoever started us
            stream = open(os.devnull, "w")  # noqa: SIM115  kept to the end
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, Unbroken(stream))
