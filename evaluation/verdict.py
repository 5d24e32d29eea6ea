"""Does the trained policy deserve an A/B test? The answer in plain words, and what the numbers do not support."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evaluation.formatting import count, number
from evaluation.intervals import Interval
from evaluation.off_policy import OffPolicyResult
from evaluation.outcomes import OnlineResult

__all__ = ["Verdict", "judge"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The judgement."""

    answer: Literal["yes", "perhaps", "no"]
    """Whether an A/B test is deserved."""
    headline: str
    """One sentence."""
    supported: tuple[str, ...]
    """What the numbers say."""
    unsupported: tuple[str, ...]
    """What they do not say."""


def judge(
    online: OnlineResult,
    *,
    trained: str,
    rivals: tuple[str, ...],
    world: str,
    world_is_true: bool,
    world_is_fitted: bool = True,
    off_policy: OffPolicyResult | None,
    level: float = 0.95,
) -> Verdict:
    """Weighs the paired comparison in simulated users against the judgement from the log.

    'yes' needs both: better than every rival on the same users, and better than the logging policy by the log, each
    with an interval that excludes zero. 'no': some rival is surely better, or the log says it is worse. Anything else
    is 'perhaps'.

    Args:
        online: The evaluation in the world of judgement.
        trained: Name of the trained policy there.
        rivals: What it must beat: the behaviour policy where known, and the baselines (not the oracles).
        world: Name of the world, such as 'the true store'.
        world_is_true: Whether that world is the truth; False for a simulator.
        world_is_fitted: Whether such a simulator was fitted to this log by us; False for a researcher's own.
        off_policy: The trained policy judged from the log, or a more exploring form of it under a name of its own.
        level: Confidence level.
    """
    rivals = tuple(name for name in rivals if name in online.outcomes and name != trained)
    differences = {name: online.difference(trained, name, level=level) for name in rivals}
    beaten = [name for name, found in differences.items() if found.low > 0]
    lost = [name for name, found in differences.items() if found.high < 0]
    supported = [_versus(trained, name, found, world, level) for name, found in differences.items()]
    unsupported = []

    lift = off_policy.lift if off_policy is not None else None
    if off_policy is None or off_policy.status == "not applicable":
        why = f" ({off_policy.reason})" if off_policy is not None else ""
        unsupported.append(f"The log itself gives no estimate of this policy{why}.")
    elif off_policy.status == "no support" or lift is None:
        unsupported.append(
            f"The log cannot confirm the gain: no support ({off_policy.reason}). It was made by a policy that shows "
            "too little of what this one would show."
        )
    else:
        per = "impression" if off_policy.estimator == "SNIPS" else "slate"
        supported.append(
            f"By the log alone ({off_policy.estimator}, effective sample of {count(off_policy.ess)} {per}s) a {per} of "
            f"{off_policy.policy} is worth {number(off_policy.value)} against "
            f"{number(off_policy.value - lift.value)} under the logging "
            f"policy: {_signed(lift)}{'' if lift.excludes_zero else ', which does not exclude zero'}."
        )
        unsupported.append(
            "The estimate from the log looks at one page at a time, in the states that the logging policy led to; it "
            "does not see whether users stay longer or come back."
        )
        if off_policy.estimator == "SNIIPS":
            unsupported.append(
                "It assumes that a click depends on the item and its position, not on the other items of the page."
            )
    unsupported.append(
        f"{world[0].upper()}{world[1:]} is a program that was written, not people: its figures show that the policy "
        "learns, not what real customers would do."
        if world_is_true
        else f"{world[0].upper()}{world[1:]} "
        + ("was fitted to this log" if world_is_fitted else "answers as its author made it answer")
        + ", and the policy was trained in it: a policy can exploit its faults. A gain there alone proves nothing "
        "about customers."
    )
    form = "" if off_policy is None or off_policy.policy == trained else f" (as {off_policy.policy})"
    answer, headline = _answer(trained, rivals, beaten, lost, lift, world, world_is_true, form)
    return Verdict(
        answer=answer, headline=headline, supported=tuple(supported), unsupported=tuple(unsupported)
    )


def _answer(
    trained: str,
    rivals: tuple[str, ...],
    beaten: list[str],
    lost: list[str],
    lift: Interval | None,
    world: str,
    world_is_true: bool,
    form: str,
) -> tuple[Literal["yes", "perhaps", "no"], str]:
    if lift is not None and lift.high < 0:
        return "no", f"No: by the log, {trained}{form} is worth less than the policy that made the log."
    if lost:
        return "no", f"No: {_names(lost)} surely did better than {trained} on the same users of {world}."
    if not rivals:
        return "perhaps", f"Undecided: {trained} was compared with no other policy."
    won = len(beaten) == len(rivals)
    if won and lift is not None and lift.low > 0:
        return "yes", f"Yes: {trained} beats {_names(beaten)} in {world}, and the log agrees{form}."
    if won and lift is None:
        rest = "the log cannot confirm it" if world_is_true else "but only there: the log cannot confirm it"
        return (
            "perhaps",
            f"Perhaps: {trained} beats {_names(beaten)} in {world}; {rest}. If you test it, start small, and log "
            "with more exploration.",
        )
    if won:
        return (
            "perhaps",
            f"Perhaps: {trained} beats {_names(beaten)} in {world}, but the log's estimate does not exclude zero. "
            "More logged sessions would decide.",
        )
    open_ = [name for name in rivals if name not in beaten]
    return (
        "no",
        f"Not yet: on the same users of {world}, {trained} is not surely better than {_names(open_)}.",
    )


def _versus(trained: str, rival: str, found: Interval, world: str, level: float) -> str:
    outcome = (
        "better" if found.low > 0 else "worse" if found.high < 0 else "not surely different (zero is inside)"
    )
    return (
        f"Against {rival}: {_signed(found)} score per session in {world}, on the same {found.n_clusters:,} users "
        f"({level:.0%} interval): {outcome}."
    )


def _signed(found: Interval) -> str:
    digits = 3 if abs(found.half_width) < 0.1 else 2
    return f"{found.value:+.{digits}f} ({found.low:+.{digits}f} to {found.high:+.{digits}f})"


def _names(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
