"""Ctrl-C and polite kills that are not lost."""

from __future__ import annotations

import signal
import threading
from types import FrameType

__all__ = ["Stops"]


class Stops:
    """Turns SIGINT and SIGTERM into `KeyboardInterrupt`, and remembers that it did.

    A library that catches everything where it tries whether something can be imported swallows the exception if the
    signal comes at that moment, and the run would go on as if nobody had asked it to stop. So the run asks again
    wherever it can be gone on from: at the end of each stage.
    """

    def __init__(self) -> None:
        self._asked = False

    def listen(self) -> None:
        """From now on; only the main thread is told of signals, elsewhere nothing changes.

        A signal that this process was started to ignore stays ignored.
        """
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, self._stop)

    def check(self) -> None:
        """Stop now, if a signal has come.

        Raises:
            KeyboardInterrupt: One has.
        """
        if self._asked:
            raise KeyboardInterrupt

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._asked = True
        raise KeyboardInterrupt
