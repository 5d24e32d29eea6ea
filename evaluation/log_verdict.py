"""What one log says of several policies, in words: which is best, how sure that is, and what must not be believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from scipy.special import stdtrit

from evaluation.formatting import number
from evaluation.intervals import Interval
from evaluation.log_judgement import Figure, LogJudgement

__all__ = ["LogVerdict", "judge_judgement"]


@dataclass(frozen=True, kw_only=True)
class LogVerdict:
    """The finding."""

    answer: Literal["yes", "perhaps", "no"]
    """Whether the best policy deserves an A/B test by this log: surely better than the policy that made it ('yes'),
    not told apart from it or not to be believed ('perhaps'), surely worse ('no')."""
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
            headline=f"The log cannot say: no figure can be believed{rest}. A log with more exploration would.",
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
        f"{best} is worth {number(figure.value)} a {figure.per} by {title}, {_signed(gain)} against the policy that "
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
    answer: Literal["yes", "perhaps", "no"]
    if gain.low > 0:
        answer, headline = (
            "yes",
            f"{best} deserves an A/B test: it is surely better than the policy that made the log.",
        )
    elif gain.high < 0:
        answer, headline = (
            "no",
            "No policy is worth a test: even the best is surely worse than the one that made the log.",
        )
    else:
        answer, headline = (
            "perhaps",
            f"No policy is surely better than the one that made the log; {best} has the largest estimate.",
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
    beside = [f"{name}: {text}" for name, one in found.policies.items() for text in one.warnings]
    return tuple(dict.fromkeys([*loud, *quiet, *found.notes, *beside]))


def _simulated(found: LogJudgement, best: str) -> list[str]:
    lines = []
    for simulator, result in found.simulated.items():
        scores = {name: float(outcome.score.mean()) for name, outcome in result.outcomes.items()}
        if len(scores) > 1:
            first = max(scores, key=lambda name: scores[name])
            same = "the same" if first == best else f"not {best}"
            lines.append(f"In the simulator {simulator}, {first} has the highest score: {same}.")
    if found.truth is not None and len(found.truth.outcomes) > 1:
        scores = {name: float(outcome.score.mean()) for name, outcome in found.truth.outcomes.items()}
        first = max(scores, key=lambda name: scores[name])
        lines.append(
            f"In the true store, {first} has the highest score per session ({number(scores[first])})."
        )
    return lines


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


def _signed(found: Interval) -> str:
    digits = 3 if abs(found.half_width) < 0.1 else 2
    return f"{found.value:+.{digits}f} ({found.low:+.{digits}f} to {found.high:+.{digits}f})"
