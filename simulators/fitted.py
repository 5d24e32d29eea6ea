"""A simulator fitted to a log, with what the fit found."""

from __future__ import annotations

from typing import Any

from simulators.composed import ComposedSimulator
from simulators.fitting.report import FitReport

__all__ = ["FittedSimulator"]


class FittedSimulator(ComposedSimulator):
    """A `ComposedSimulator` that knows its name, its held-out scores and the names of its context columns.

    Args:
        name: The click model.
        report: Held-out scores and notes.
        context_names: Names of the F context columns.
        composed: Arguments of `ComposedSimulator`.
    """

    def __init__(
        self, *, name: str, report: FitReport, context_names: tuple[str, ...], **composed: Any
    ) -> None:
        super().__init__(**composed)
        self.name = name
        self.report = report
        self.context_names = context_names

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know before trusting the simulator."""
        return self.report.notes
