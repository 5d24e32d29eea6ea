"""A sign of life: what is under way and for how long, wherever no progress bar is showing."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType

from tqdm import tqdm

__all__ = ["Ticker"]

_ERASE = "\r\x1b[2K"  # the whole line
_PATIENCE = 2.0  # seconds of silence before it shows


class Ticker:
    """Shows `text … 12 s` on a terminal while its block runs and no progress bar does.

    Kernels that compile, and libraries that say nothing, would otherwise look like a program that hangs.

    Args:
        text: What is under way.
        quiet: Show nothing.
    """

    def __init__(self, text: str, *, quiet: bool = False) -> None:
        self.text = text
        self._on = sys.stderr.isatty() and not quiet
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Ticker:
        if self._on:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        if self._on:
            self._thread.join()

    def _run(self) -> None:
        start, shown = time.monotonic(), False
        while not self._done.wait(0.5):
            seconds = time.monotonic() - start
            bars = any(not bar.disable for bar in list(getattr(tqdm, "_instances", [])))
            if bars or seconds < _PATIENCE:
                continue  # it draws over the line
            sys.stderr.write(f"{_ERASE}{self.text} … {seconds:.0f} s")
            sys.stderr.flush()
            shown = True
        if shown:
            sys.stderr.write(_ERASE)
            sys.stderr.flush()
