"""How fast a simulator answers: a slow plug-in is better noticed before a training than in it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from simulators.base import UserSimulator

__all__ = ["Speed", "measure_speed", "speed_in_words"]

_HOUR = 3600.0

_PAGES = 6  # of a session; then new users arrive, as in an environment


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What was measured."""

    user_steps: int
    """Answered pages, one a user."""
    seconds: float
    """They took."""
    users: int
    """Users served side by side."""

    @property
    def rate(self) -> float:
        """User-steps a second."""
        return self.user_steps / self.seconds


def measure_speed(
    simulator: UserSimulator, *, users: int = 256, slate_size: int = 5, seconds: float = 0.5, seed: int = 0
) -> Speed:
    """Serve random pages for `seconds`, arrivals included; the first session, in which kernels compile, is not counted.

    Args:
        simulator: What to measure.
        users: Users side by side; trainings serve some hundreds.
        slate_size: Positions of the pages, as far as the simulator and its catalogue allow.
        seconds: For how long, at the least.
        seed: Of users and pages.
    """
    length = min(slate_size, simulator.slate_size or slate_size, simulator.n_items)
    rng = np.random.default_rng(seed)
    # Drawing without repeats from a small window keeps a catalogue of millions cheap.
    window = np.argsort(rng.random((_PAGES, users, min(simulator.n_items, 4 * length))), axis=2)[..., :length]
    start = rng.integers(0, simulator.n_items, (_PAGES, users, 1))
    pages = np.ascontiguousarray((window + start) % simulator.n_items, np.int32)
    numbers = np.arange(users, dtype=np.int64)

    def session(first: int) -> None:
        state = simulator.begin(numbers + first, seed=seed)
        for slates in pages:
            simulator.respond(state, slates, seed=seed)

    session(0)
    sessions, began = 0, time.perf_counter()
    while sessions == 0 or time.perf_counter() - began < seconds:
        sessions += 1
        session(sessions * users)
    return Speed(user_steps=sessions * users * _PAGES, seconds=time.perf_counter() - began, users=users)


def speed_in_words(mine: Speed, built_in: Speed, *, training_steps: int) -> tuple[str, str]:
    """One line for the reader, and a warning, empty where a training takes no hours.

    Args:
        mine: Of the simulator in question.
        built_in: Of a built-in one on the same machine.
        training_steps: User-steps of the training that the line speaks of.
    """
    seconds = training_steps / mine.rate
    spent = f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:,.0f} min"
    line = (
        f"speed: {mine.rate:,.0f} user-steps a second with {mine.users} users side by side, "
        f"{mine.rate / built_in.rate:.2g} times the built-in simulator's {built_in.rate:,.0f}; a training of "
        f"{training_steps:,} user-steps, train.py's default, would spend {spent} in it"
    )
    if seconds < _HOUR:
        return line, ""
    return line, (
        "WARNING: so slow that a training takes hours, and judging policies comes on top: answer all users of a batch "
        "at once with arrays, or loop over them in a numba function"
    )
