"""Which estimator to rank policies by: the one of least variance whose assumption the log does not refute.

How users look at a page is a fact about users, not about a policy: if the item-wise figure (SNIIPS) and the cascade
figure (SNRIPS) of any policy differ by more than chance, items of a page influence each other, and item-wise figures of
all policies are doubted. So the log's own disagreement chooses: SNIIPS, then SNRIPS, then SNSIPS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from evaluation.intervals import paired_difference
from evaluation.log_judgement import JudgedPolicy

if TYPE_CHECKING:
    from evaluation.estimators.registry import EstimatorEntry

__all__ = ["choose_estimator", "disagreement"]


def disagreement(
    judged: Mapping[str, JudgedPolicy], first: str, second: str, *, level: float = 0.95
) -> tuple[str, ...]:
    """Policies for which two estimators that both can be believed differ by more than chance, all tested at once.

    The level is shared among the policies (Bonferroni): where the two estimate the same, a false alarm for any policy
    has probability 1 - level at most.
    """
    pairs = [
        (name, one.figures[first], one.figures[second])
        for name, one in judged.items()
        if first in one.figures and second in one.figures
    ]
    pairs = [(name, a, b) for name, a, b in pairs if a.believed and b.believed]
    found = []
    for name, a, b in pairs:
        shared = 1 - (1 - level) / len(pairs)
        gap = paired_difference(a.terms, b.terms, clusters=a.users, level=shared)
        # Equal policies give equal terms up to rounding, whose difference is no finding.
        if gap.excludes_zero and abs(gap.value) > 1e-9 * max(1.0, abs(a.value)):
            found.append(name)
    return tuple(found)


def choose_estimator(
    judged: Mapping[str, JudgedPolicy], entries: Sequence[EstimatorEntry], *, level: float = 0.95
) -> tuple[str, str, tuple[str, ...]]:
    """The estimator to rank by, why, and notes for the reader; an empty name where no figure can be believed.

    Args:
        judged: The figures.
        entries: The estimators that were used.
        level: Of the test of disagreement.
    """
    ladder = [entry for entry in sorted(entries, key=lambda e: e.rank) if entry.rank < 100]
    ladder = ladder or list(entries)[:1]
    usable = [
        entry
        for entry in ladder
        if any(entry.name in one.figures and one.figures[entry.name].believed for one in judged.values())
    ]
    if not usable:
        return "", "no estimator gives a figure that can be believed", ()
    notes: list[str] = []
    chosen = usable[0]
    for weaker in usable[1:]:
        doubted = disagreement(judged, chosen.name, weaker.name, level=level)
        if not doubted:
            continue
        notes.append(
            f"{chosen.name.upper()} and {weaker.name.upper()} differ by more than chance for {', '.join(doubted)}: "
            f"items of a page seem to influence each other, which biases {chosen.name.upper()} (it assumes that "
            f"{chosen.assumes}). Policies are ranked by {weaker.name.upper()}."
        )
        chosen = weaker
    why = f"the least variable whose assumption ({chosen.assumes}) this log does not refute"
    return chosen.name, why, tuple(notes)
