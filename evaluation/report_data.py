"""Everything that stands in `report.html`, typed; the main job fills it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluation.table import FinalTable
from evaluation.verdict import Verdict

if TYPE_CHECKING:
    from encoders.attributions import TextAttribution
    from encoders.measures.clusters import ReliabilityBin
    from evaluation.agreement_run import AgreementChapter
    from simulators.trust.report import TrustReport

__all__ = [
    "Curve",
    "ExplainedItem",
    "ExplainedPage",
    "ExplainedSession",
    "PolicyExplanation",
    "PositionRates",
    "ReportData",
    "ReportTable",
    "ShownItem",
    "SlateComparison",
]


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
class ExplainedItem:
    """A candidate of a page: where it was ranked and why."""

    item: ShownItem
    """What it is and what the user did."""
    slot: int | None
    """Position on the page, from 1; None where it was not shown."""
    relevance_rank: int
    """Rank among the page's candidates by relevance, from 1."""
    policy_rank: int | None
    """Rank by the policy, from 1; None where the policy ranks no more than a page."""
    now_rank: int | None = None
    """Rank by `now`, from 1."""
    click: float | None = None
    """Foretold chance of a click."""
    purchase: float | None = None
    """Foretold chance of a purchase once clicked."""
    now: float | None = None
    """Foretold reward of this page's clicks and purchases."""
    later: float | None = None
    """Later reward, measured by playing on, over that of the first candidate left out in the same place."""
    later_error: float | None = None
    """Standard error of `later`."""
    later_foretold: float | None = None
    """The same difference as the network's item-wise values have it."""

    @property
    def rose(self) -> int | None:
        """Places that it rose against relevance order; negative: it fell."""
        return None if self.policy_rank is None else self.relevance_rank - self.policy_rank

    @property
    def later_is_sure(self) -> bool:
        """Whether the 95 % interval of `later` leaves out zero."""
        if self.later is None or self.later_error is None:
            return False
        return abs(self.later) > 1.96 * self.later_error


@dataclass(frozen=True, kw_only=True)
class ExplainedPage:
    """A page of a session, explained."""

    number: int
    """From 1."""
    query: str
    """Query text; empty for a recommendation page."""
    shown: tuple[ExplainedItem, ...]
    """In slate order."""
    left_out: tuple[ExplainedItem, ...]
    """Notable candidates that were not shown: the first left out, and those that relevance order would show."""
    reward: float
    """What the page brought."""
    value_before: float | None = None
    """Discounted return that the network expected from this page on."""
    value_after: float | None = None
    """The same after the page, from the next one on; 0 where the user had left."""


@dataclass(frozen=True, kw_only=True)
class ExplainedSession:
    """One user's session under a policy."""

    name: str
    """Such as 'user 10 000 003'."""
    ending: str
    """How it ended, in words."""
    pages: tuple[ExplainedPage, ...]
    """In order."""


@dataclass(frozen=True, kw_only=True)
class PolicyExplanation:
    """Why a policy ranked as it did, in a few sessions."""

    policy: str
    """Its name."""
    sessions: tuple[ExplainedSession, ...]
    """Held-out users."""
    notes: tuple[str, ...]
    """How to read the figures."""


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
    trust: Mapping[str, TrustReport] = field(default_factory=dict)
    """What the simulators may be used for, by name; the one that policies were trained in comes first."""
    fidelity: ReportTable | None = None
    """How well the simulators foretell held-out sessions."""
    relevance: ReportTable | None = None
    """The relevance model before and after fine-tuning."""
    reliability: Mapping[str, tuple[ReliabilityBin, ...]] = field(default_factory=dict)
    """Its click probabilities against what was clicked, by name, such as 'before fine-tuning'."""
    words: tuple[TextAttribution, ...] = ()
    """A few of its scores, word by word."""
    tables: tuple[ReportTable, ...] = ()
    """Further tables."""
    slates: tuple[SlateComparison, ...] = ()
    """A few pages before and after training."""
    explanation: PolicyExplanation | None = None
    """A few sessions of the trained policy, candidate by candidate."""
    agreement: AgreementChapter | None = None
    """Simulated values of policies against true ones."""
    currency: str = ""
    """Sign before prices."""
    config_yaml: str = ""
    """The complete configuration."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of what made the figures."""
