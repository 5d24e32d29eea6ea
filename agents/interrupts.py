"""Ctrl-C and polite kills that wait for a moment at which a checkpoint can be written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupts"]


class Interrupts:
    """Remembers the first SIGINT or SIGTERM instead of obeying it at once; the second acts as it always does.

    In the middle of an update weights and optimiser do not agree, so a checkpoint of that moment could not be gone on
    from exactly. The learner asks `asked` between updates.
    """

    def __init__(self) -> None:
        self._asked = False

    def asked(self) -> bool:
        """Whether a signal has come."""
        return self._asked

    @contextmanager
    def deferred(self) -> Iterator[Interrupts]:
        """Hold signals back within the block.

        Only those that Python would turn into an exception, and only in the main thread, which alone is told of
        signals: elsewhere, and where SIGTERM would simply end the process, nothing changes.
        """
        before = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(number)
                if callable(handler):
                    before[number] = handler

        def note(_signal: int, _frame: FrameType | None) -> None:
            self._asked = True
            for number, handler in before.items():
                signal.signal(number, handler)

        for number in before:
            signal.signal(number, note)
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
