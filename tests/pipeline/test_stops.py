"""A request to stop is obeyed even where somebody swallowed it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from pipeline.stops import Stops


@pytest.fixture
def stops() -> Iterator[Stops]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield Stops()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_swallowed_signal_is_raised_again_at_the_next_check(stops: Stops, number: signal.Signals) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stops.listen()
    stops.check()  # nothing has come yet
    swallowed = False
    try:  # as libraries do around an import
        os.kill(os.getpid(), number)
    except:  # noqa: E722
        swallowed = True
    assert swallowed
    with pytest.raises(KeyboardInterrupt):
        stops.check()


def test_ignored_signal_stays_ignored(stops: Stops) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stops.listen()
    os.kill(os.getpid(), signal.SIGINT)
    stops.check()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
