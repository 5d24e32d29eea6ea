"""Which estimator to rank policies by: the one of least variance whose assumption the log does not refute.

How users look at a page is a fact about users, not about a policy. If IIPS, RIPS and SIPS disagree more than chance
explains for any policy (`evaluation.disagreement`), items of a page influence each other, and item-wise figures of all
policies are doubted. So the log itself chooses: SNIIPS, then SNRIPS, then SNSIPS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from evaluation.disagreement import Disagreement, Structure, disagreement_test

if TYPE_CHECKING:
    from evaluation.estimators.registry import EstimatorEntry
    from evaluation.estimators.result import Estimate
    from evaluation.log_judgement import Figure, JudgedPolicy

__all__ = ["choose_estimator", "structure_of"]

_ESTIMATORS: dict[Structure, str] = {"independent": "sniips", "cascade": "snrips", "whole slate": "snsips"}
_LAST = 100  # rank of those that are never chosen unasked


def structure_of(
    estimates: Mapping[str, Estimate],
    figures: Mapping[str, Figure],
    users: NDArray[Any],
    *,
    level: float = 0.95,
) -> Disagreement | None:
    """The test of one policy's estimates under different assumptions; None where no two of them have support.

    Args:
        estimates: By name.
        figures: The same, with their diagnostics: without support nothing can be compared.
        users: (M,) user of each page.
        level: Confidence level of this policy's test.
    """
    found = {
        structure: estimates[name]
        for structure, name in _ESTIMATORS.items()
        if name in estimates and name in figures and figures[name].supported
    }
    return disagreement_test(found, clusters=users, level=level) if len(found) > 1 else None


def choose_estimator(
    judged: Mapping[str, JudgedPolicy], entries: Sequence[EstimatorEntry], *, level: float = 0.95
) -> tuple[str, str, tuple[str, ...]]:
    """The estimator to rank by, why, and notes for the reader; an empty name where the log supports no figure.

    The level is shared among the policies (Bonferroni): where users look at items one by one, another estimator is
    chosen for any policy's sake with probability 1 - level at most.

    Args:
        judged: The figures.
        entries: The estimators that were used.
        level: Of the tests of all policies together.
    """
    ladder = [entry for entry in sorted(entries, key=lambda e: e.rank) if entry.rank < _LAST]
    ladder = ladder or list(entries)[:1]

    def count(name: str, *, sound: bool) -> int:
        found = [one.figures[name] for one in judged.values() if name in one.figures]
        return sum(one.believed if sound else one.supported for one in found)

    usable = [e for e in ladder if count(e.name, sound=True)] or [
        e for e in ladder if count(e.name, sound=False)
    ]
    if not usable:
        return (ladder[0].name if ladder else ""), "the log supports no figure of any policy", ()
    names = [entry.name for entry in usable]
    tests = {name: one.disagreement for name, one in judged.items() if one.disagreement is not None}
    refuting = {
        name: test
        for name, test in tests.items()
        if test is not None and test.p_value < (1 - level) / len(tests)
    }
    if not refuting:
        return names[0], _why(usable[0], tests), ()
    wanted = max((_ESTIMATORS[test.supported] for test in refuting.values()), key=_order)
    stronger = [entry for entry in usable if _order(entry.name) >= _order(wanted)]
    chosen = stronger[0] if stronger else usable[-1]
    words = "; ".join(f"{name}: {test.words}" for name, test in refuting.items())
    note = (
        f"Items of a page seem to influence each other, which biases item-wise figures ({words}) Policies are ranked "
        f"by {chosen.name.upper()}."
    )
    if not stronger:
        note += (
            f" {wanted.upper()}, which would not be biased, has no support here: believe no figure too much."
        )
    return chosen.name, _why(chosen, tests if stronger else {}), (note,)


def _why(entry: EstimatorEntry, tests: Mapping[str, Disagreement]) -> str:
    """Why this one, with the power of the test that its assumption passed: what it could not see is not refuted."""
    if _ESTIMATORS["whole slate"] == entry.name:
        return f"it assumes {entry.assumes}"
    assumed = next((structure for structure, name in _ESTIMATORS.items() if name == entry.name), None)
    powers = [step.power for test in tests.values() for step in test.steps if step.assumed == assumed]
    if not powers:
        return f"the least variable of those that fit; nothing here tests its assumption ({entry.assumes})"
    relevant = next(test.relevant for test in tests.values())
    little = "" if max(powers) >= 0.8 else ", so that this proves little"
    return (
        f"the least variable whose assumption ({entry.assumes}) this log does not refute; a bias of "
        f"{relevant:.0%} of the value would have been seen with a chance of {max(powers):.0%} at most{little}"
    )


def _order(name: str) -> int:
    """Place among the assumptions, the strongest first; others stand before all."""
    order = list(_ESTIMATORS.values())
    return order.index(name) if name in order else -1
