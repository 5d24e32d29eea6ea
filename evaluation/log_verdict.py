"""What one log says of several policies, in words: which is best, how sure that is, and what must not be believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from scipy.special import stdtrit

from evaluation.formatting import a, number, signed
from evaluation.intervals import Interval
from evaluation.log_judgement import Figure, LogJudgement

if TYPE_CHECKING:
    from evaluation.outcomes import OnlineResult

__all__ = ["LogVerdict", "judge_judgement"]


@dataclass(frozen=True, kw_only=True)
class LogVerdict:
    """The finding."""

    answer: Literal["yes", "perhaps", "no"]
    """Whether the best policy deserves an A/B test by this log: surely better than the policy that made it ('yes');
    not told apart from it, or some not to be believed ('perhaps'); all judged and surely worse ('no')."""
    headline: str
    """One sentence."""
    lines: tuple[str, ...]
    """What the numbers say."""
    warnings: tuple[str, ...]
    """What must not be overlooked; loud."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "answer": self.answer,
            "headline": self.headline,
            "lines": list(self.lines),
            "warnings": list(self.warnings),
        }


def judge_judgement(found: LogJudgement, *, seed: int = 0) -> LogVerdict:
    """Weighs the figures of all policies.

    Gains over the logging policy are told at the judgement's level for all policies at once (Bonferroni), because the
    best of several gains is large by chance.

    Args:
        found: The figures.
        seed: Of the resampling behind the choice.
    """
    names = found.believed()
    title = found.chosen.upper()
    warnings = _warnings(found)
    if not names:
        doubtful = found.doubtful()
        rest = (
            f"; {', '.join(doubtful)} can be read with doubt only"
            if doubtful
            else ", nor can any be read with doubt"
        )
        return LogVerdict(
            answer="perhaps",
            headline=f"The log cannot say: no figure can be believed{rest}. A log of more users, or with more "
            "exploration, might.",
            lines=(found.why_chosen.capitalize() + ".",) if found.why_chosen else (),
            warnings=warnings,
        )
    best = names[0]
    figure = found.figure(best)
    assert figure is not None  # it is among the believed
    gain = _simultaneous(figure.lift, len(names))
    level = f"{found.level:.0%}"
    together = f", for all {len(names)} at once" if len(names) > 1 else ""
    said = (
        f"{best} is worth {number(figure.value)} {a(figure.per)} by {title}, {signed(gain)} against the policy that "
        f"made the log ({level} interval{together})"
    )
    lines = [f"{said}.", f"Policies are ranked by {title}: {found.why_chosen}."]
    chosen = found.select(seed=seed)
    if chosen is not None:
        lines.append(chosen.sentence())
        lines.append(
            f"Corrected for having been chosen, {chosen.best} is worth {number(chosen.corrected.value)} "
            f"({number(chosen.corrected.low)} to {number(chosen.corrected.high)})."
        )
    lines += _simulated(found, best)
    if figure.per == "page":
        lines.append(
            "All this is about single pages in states that the log holds: whether a policy keeps its users for more of "
            "them is not in it (simulators, and the estimator fqe, speak of sessions)."
        )
    answer: Literal["yes", "perhaps", "no"]
    shop = f"{a(figure.per)} than the policy that made the log"
    others = [name for name in found.policies if name not in names]
    unsaid = f" Of {', '.join(others)} it says nothing that can be believed." if others else ""
    if gain.low > 0:
        answer, headline = "yes", f"{best} deserves an A/B test: it surely earns more {shop}."
    elif gain.high < 0 and not others:
        answer, headline = (
            "no",
            f"No policy is worth a test: even the best surely earns less {shop}.",
        )
    elif gain.high < 0:
        answer, headline = (
            "perhaps",
            f"No policy that this log can judge is worth a test: even {best} surely earns less {shop}.{unsaid}",
        )
    else:
        answer, headline = (
            "perhaps",
            f"No policy surely earns more {shop}; {best} has the largest estimate.{unsaid}",
        )
    return LogVerdict(answer=answer, headline=headline, lines=tuple(lines), warnings=warnings)


def _warnings(found: LogJudgement) -> tuple[str, ...]:
    """The loud ones first: figures that stand higher than the best believed one, and cannot be believed."""
    names = found.believed()
    best = found.figure(names[0]) if names else None
    loud: list[str] = []
    quiet: list[str] = []
    for name, one in found.policies.items():
        if one.reason:
            loud.append(f"{name}: NO FIGURE: {one.reason}.")
            continue
        figure = one.figures.get(found.chosen)
        if figure is None:
            loud.append(f"{name}: NO FIGURE by {found.chosen.upper()}, which policies are ranked by.")
            continue
        if figure.believed:
            continue
        high = best is not None and figure.value > best.value
        text = f"{name}: NOT TO BELIEVE: {_shown(figure)} by {figure.estimator.upper()}: {figure.reason}."
        if high and best is not None:
            text += f" It is above that of {names[0]} ({number(best.value)}) and is not ranked."
        (loud if high else quiet).append(text)
    judged = [one for one in found.policies.values() if one.figures]
    beside = []
    for name, one in found.policies.items():
        for text in one.warnings:
            # What concerns all is said once.
            common = len(judged) > 1 and all(text in other.warnings for other in judged)
            beside.append(text if common or text in found.notes else f"{name}: {text}")
    return tuple(dict.fromkeys([*loud, *quiet, *found.notes, *beside]))


def _simulated(found: LogJudgement, best: str) -> list[str]:
    lines = []
    for simulator, result in found.simulated.items():
        if len(result.outcomes) > 1:
            first, unsure = _highest(result, found.level)
            same = "the same" if first == best else f"not {best}"
            lines.append(
                f"In the simulator {simulator}, {first} has the highest score per session: {same}{unsure}."
            )
    if found.truth is not None and len(found.truth.outcomes) > 1:
        first, unsure = _highest(found.truth, found.level)
        score = float(found.truth[first].score.mean())
        lines.append(
            f"In the true store, {first} has the highest score per session ({number(score)}){unsure}."
        )
    return lines


def _highest(result: OnlineResult, level: float) -> tuple[str, str]:
    """Who has the highest score, and from whom that cannot be told apart on the same users (for all at once)."""
    scores = {name: float(outcome.score.mean()) for name, outcome in result.outcomes.items()}
    first = max(scores, key=lambda name: scores[name])
    others = [name for name in scores if name != first]
    shared = 1 - (1 - level) / len(others)
    near = [name for name in others if not result.difference(first, name, level=shared).low > 0]
    return first, f"; not surely above {', '.join(near)}" if near else ""


def _simultaneous(interval: Interval, count: int) -> Interval:
    """The same interval at a level that holds for `count` of its kind at once."""
    level = 1 - (1 - interval.level) / max(1, count)
    if interval.n_clusters < 2:
        return interval
    reach = float(stdtrit(interval.n_clusters - 1, 0.5 + level / 2)) * interval.standard_error
    return Interval(
        value=interval.value,
        low=interval.value - reach,
        high=interval.value + reach,
        standard_error=interval.standard_error,
        level=level,
        n_clusters=interval.n_clusters,
        method=f"{interval.method}, for {count} at once",
    )


def _shown(figure: Figure) -> str:
    return number(figure.value) or "no value"
