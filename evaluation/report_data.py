"""Everything that stands in `report.html`, typed; the main job fills it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evaluation.table import FinalTable
from evaluation.verdict import Verdict

__all__ = ["Curve", "PositionRates", "ReportData", "ReportTable", "ShownItem", "SlateComparison"]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A series over training steps; curves with the same title share one picture."""

    title: str
    """What is drawn, such as 'score per session, validation users'."""
    label: str = ""
    """Name of this series within the picture."""
    steps: NDArray[np.floating]
    """(P,) user-steps."""
    values: NDArray[np.floating]
    """(P,)"""


@dataclass(frozen=True, kw_only=True)
class ReportTable:
    """A table of texts; columns whose cells are all numbers are set flush right."""

    caption: str
    """What the table says."""
    columns: tuple[str, ...]
    """Headings."""
    rows: tuple[tuple[str | float | int | None, ...], ...]
    """Cells; numbers are shown with three significant digits, None is left blank."""
    note: str = ""
    """How to read it."""


@dataclass(frozen=True, kw_only=True)
class ShownItem:
    """An item on a page."""

    title: str
    """Product title."""
    price: float | None = None
    """In the shop's currency."""
    clicked: bool = False
    """Whether the user clicked it."""
    purchased: bool = False
    """Whether the user bought it."""


@dataclass(frozen=True, kw_only=True)
class SlateComparison:
    """The same page for the same user, ranked by several policies."""

    query: str
    """Query text; empty for a recommendation page."""
    pages: Mapping[str, tuple[ShownItem, ...]]
    """Slate by the policy's name, such as 'before training' and 'after training'."""
    note: str = ""
    """Such as 'user 100 003, first page'."""


@dataclass(frozen=True, kw_only=True)
class PositionRates:
    """Clicks per page by position, for one policy."""

    label: str
    """The policy."""
    click: NDArray[np.floating]
    """(K,)"""


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """The content of a report; a part that is empty is left out of the page."""

    title: str
    """Name of the run."""
    created: str
    """Date and time, as text."""
    command: str
    """The exact command."""
    table: FinalTable
    """The final table."""
    verdict: Verdict | None = None
    """The judgement in words."""
    facts: tuple[tuple[str, str], ...] = ()
    """What was used: data, sessions, items, simulator, agent, steps."""
    warnings: tuple[str, ...] = ()
    """What a reader must not overlook."""
    curves: tuple[Curve, ...] = ()
    """Learning curves."""
    positions: tuple[PositionRates, ...] = ()
    """Click rates by position."""
    fidelity: ReportTable | None = None
    """How well the simulators foretell held-out sessions."""
    relevance: ReportTable | None = None
    """The relevance model before and after fine-tuning."""
    tables: tuple[ReportTable, ...] = ()
    """Further tables."""
    slates: tuple[SlateComparison, ...] = ()
    """A few pages before and after training."""
    currency: str = ""
    """Sign before prices."""
    config_yaml: str = ""
    """The complete configuration."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of what made the figures."""
