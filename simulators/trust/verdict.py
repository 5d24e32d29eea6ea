"""What decisions a simulator supports: from what was measured, by stated thresholds, and never more than that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from simulators.agreement_summary import AgreementSummary
from simulators.trust.compare import Measured
from simulators.trust.config import TrustConfig
from simulators.trust.names import BUYING, CLICKS, INTERPLAY, SESSIONS
from simulators.trust.predictions import Score
from simulators.trust.two_sample import TwoSample

__all__ = ["Check", "Decision", "TrustVerdict", "judge_trust"]

Status = Literal["agrees", "small", "differs", "open"]
Answer = Literal["yes", "open", "no", "not measured"]

_RANKS_FROM = 0.8
_REGRET_UP_TO = 0.15
_COVERS_FROM = 0.9
_FEW_POLICIES = 5


@dataclass(frozen=True, kw_only=True)
class Check:
    """One measure, judged."""

    name: str
    """The measure."""
    status: Status
    """'differs': a real difference, larger than is let pass. 'small': a real one that is let pass. 'agrees': none was
    found, and a large one is ruled out. 'open': none was found, and these sessions could not have ruled it out."""
    text: str
    """The figures in words."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Something a simulator may be used for."""

    use: str
    """What for."""
    answer: Answer
    """Whether the measures support it."""
    because: str
    """Why, in words."""


@dataclass(frozen=True, kw_only=True)
class TrustVerdict:
    """The judgement."""

    answer: Literal["yes", "perhaps", "no"]
    """'no': held-out sessions or policies of known value contradict it. 'yes': all was measured and agrees. Else
    'perhaps'."""
    headline: str
    """One or two sentences."""
    decisions: tuple[Decision, ...]
    """What the simulator supports, use by use."""
    checks: tuple[Check, ...]
    """All measures, judged."""

    @property
    def lacks(self) -> tuple[Check, ...]:
        """What differs."""
        return tuple(check for check in self.checks if check.status == "differs")


def judge_trust(
    measures: Sequence[Measured],
    scores: Sequence[Score],
    tests: Sequence[TwoSample],
    config: TrustConfig,
    *,
    n_sessions: int,
    agreement: AgreementSummary | None = None,
) -> TrustVerdict:
    """Judge each measure, then each use by the measures it rests on.

    A difference counts as real where Holm's procedure rejects 'no difference' over all measures and both classifier
    tests together, at one minus the confidence (S. Holm, Scandinavian Journal of Statistics, 1979).
    """
    ps = {**{m.name: m.p for m in measures}, **{_test_name(t): t.p for t in tests}}
    real = _holm(ps, 1.0 - config.confidence)
    checks = {
        **{m.name: _measure_check(m, m.name in real, config) for m in measures},
        **{_test_name(t): _test_check(t, _test_name(t) in real, config) for t in tests},
    }
    gain = next((s for s in scores if s.measure == "click log-likelihood per page"), None)
    if gain is not None:
        checks[_GAIN] = _gain_check(gain)
    found = tuple(checks.values())
    decisions = (
        _use("foretell clicks on pages like the logged ones", (_GAIN, *CLICKS), checks, config),
        _use("foretell what such pages sell", BUYING, checks, config),
        _use("foretell whole visits under the logging policy", (*SESSIONS, _SESSION_TEST), checks, config),
        _use("judge how items of a page affect each other", (*INTERPLAY, _PAGE_TEST), checks, config),
        *_about_policies(agreement),
        _training(checks, config),
        Decision(
            use="decide alone that a policy goes live",
            answer="no",
            because="no simulator shows what people do on pages that no log holds: estimate from the log, then test",
        ),
    )
    return TrustVerdict(
        answer=_answer(found, decisions),
        headline=_headline(found, next(d.answer for d in decisions if d.use == _RANKS), n_sessions, config),
        decisions=decisions,
        checks=found,
    )


_RANKS = "tell which of several policies is better"
_ABOUT_RANKING: dict[Answer, str] = {
    "yes": "Policies of known value are ranked rightly in it.",
    "open": "Whether it ranks policies rightly stays open.",
    "no": "Policies of known value are not ranked rightly in it.",
    "not measured": "Whether it ranks policies rightly was not measured.",
}
_NAMED = 5
"""Most measures that the headline names."""
_GAIN = "clicks better than rates by position"
_PAGE_TEST = "pages told apart by a classifier"
_SESSION_TEST = "sessions told apart by a classifier"


def _test_name(test: TwoSample) -> str:
    return _PAGE_TEST if test.rows == "page" else _SESSION_TEST


def _holm(ps: dict[str, float], level: float) -> set[str]:
    """Names whose 'no difference' is rejected, with at most `level` chance of any wrong one."""
    rejected: set[str] = set()
    for i, (name, p) in enumerate(sorted(ps.items(), key=lambda entry: entry[1])):
        if p > level / (len(ps) - i):
            break
        rejected.add(name)
    return rejected


def _status(value: float, high: float, real: bool, tolerance: float, resolution: float) -> Status:
    if real:
        return "differs" if value > tolerance else "small"
    return "agrees" if high <= resolution else "open"


def _measure_check(m: Measured, real: bool, config: TrustConfig) -> Check:
    d = m.distance
    unit = "of the mean rate" if m.kind == "rates" else "in total variation"
    most = m.largest()
    text = (
        f"{d.value:.1%} {unit}, {d.low:.1%} to {d.high:.1%} (chance alone {d.noise:.1%}); most at {most.label}: "
        f"{most.simulated:.3g} simulated, {most.logged:.3g} logged"
    )
    return Check(
        name=m.name, status=_status(d.excess, d.high, real, config.tolerance, config.resolution), text=text
    )


def _test_check(test: TwoSample, real: bool, config: TrustConfig) -> Check:
    text = (
        f"area {test.area.value:.3f}, {test.area.low:.3f} to {test.area.high:.3f} (0.5 is guessing; two halves of the "
        f"log {test.null.value:.3f})"
    )
    if real and test.clues:
        text += f"; most by {test.clues[0].words}"
    area = test.area
    status = _status(area.value, area.high, real, config.auc_tolerance, config.auc_tolerance)
    return Check(name=_test_name(test), status=status, text=text)


def _gain_check(gain: Score) -> Check:
    status: Status = "agrees" if gain.gain_low > 0 else "differs" if gain.gain_high < 0 else "open"
    text = f"{gain.gain:+.4f} in log-likelihood per page, {gain.gain_low:+.4f} to {gain.gain_high:+.4f}"
    return Check(name=_GAIN, status=status, text=text)


def _use(use: str, names: Sequence[str], checks: dict[str, Check], config: TrustConfig) -> Decision:
    answer, because = _weigh(names, checks, config)
    return Decision(use=use, answer=answer, because=because)


def _weigh(names: Sequence[str], checks: dict[str, Check], config: TrustConfig) -> tuple[Answer, str]:
    measured = [checks[name] for name in names if name in checks]
    lacking = [check.name for check in measured if check.status == "differs"]
    unsure = [check.name for check in measured if check.status == "open"]
    missing = [name for name in names if name not in checks]
    if lacking:
        return "no", f"wrong in: {', '.join(lacking)}"
    if not measured:
        return "not measured", f"nothing of it could be measured ({', '.join(missing)})"
    without = f"; not measured: {', '.join(missing)}" if missing else ""
    if unsure:
        return "open", f"these sessions cannot tell: {', '.join(unsure)}{without}"
    if missing:
        return "open", f"what was measured agrees{without}"
    return "yes", f"agrees within {config.resolution:.0%} ({len(measured)} measures)"


def _about_policies(agreement: AgreementSummary | None) -> tuple[Decision, Decision]:
    ranks, worth = _RANKS, "tell by how much a policy is better"
    if agreement is None:
        return (
            Decision(
                use=ranks,
                answer="not measured",
                because="no policies of known value were compared: that one is better in the simulator does not say "
                "that it is better in the shop",
            ),
            Decision(use=worth, answer="not measured", because="for the same reason"),
        )
    a = agreement
    about = (
        f"rank correlation {a.spearman.value:.2f} (at least {a.spearman.low:.2f}) over {a.n_policies} policies, "
        f"against {a.truth}"
    )
    lost = a.regret_share.value
    costly = lost > _REGRET_UP_TO  # False for nan: without a reference policy there is no share
    if not math.isnan(lost):
        about += f"; taking its favourite loses {lost:.0%} of the possible gain"
    if a.n_policies < _FEW_POLICIES:
        answer: Answer = "open"
        about += "; too few to say"
    elif a.spearman.low >= _RANKS_FROM and not costly:
        answer = "yes"
    else:
        answer = "no" if a.spearman.low <= 0.0 or costly else "open"
    first = Decision(use=ranks, answer=answer, because=f"{about}; policies unlike these may fare otherwise")
    covered = a.coverage.value
    if math.isnan(covered):
        return first, Decision(
            use=worth, answer="not measured", because="no intervals of simulated values were compared"
        )
    covers: Answer = "open" if a.n_policies < _FEW_POLICIES else "yes" if covered >= _COVERS_FROM else "no"
    return first, Decision(
        use=worth,
        answer=covers,
        because=f"{covered:.0%} of {a.n_policies} true values lie in the simulator's {a.level:.0%} intervals",
    )


def _training(checks: dict[str, Check], config: TrustConfig) -> Decision:
    answer, because = _weigh((_GAIN, *CLICKS, *INTERPLAY, *SESSIONS), checks, config)
    use = "train policies that are then judged elsewhere"
    if answer == "no":
        return Decision(use=use, answer="no", because=f"a policy would learn to exploit it; {because}")
    if answer == "yes":
        because += "; whether a policy exploits what was not measured, only a judgement elsewhere shows"
    return Decision(use=use, answer=answer, because=because)


def _answer(checks: Sequence[Check], decisions: Sequence[Decision]) -> Literal["yes", "perhaps", "no"]:
    ranks = next(d.answer for d in decisions if d.use == _RANKS)
    if ranks == "no" or any(check.status == "differs" for check in checks):
        return "no"
    return "yes" if all(d.answer == "yes" for d in decisions[:-1]) else "perhaps"


def _headline(checks: Sequence[Check], ranks: Answer, n_sessions: int, config: TrustConfig) -> str:
    lacks = [check.name for check in checks if check.status == "differs"]
    unsure = [check.name for check in checks if check.status == "open"]
    on = f"{n_sessions:,} held-out sessions"
    if lacks:
        text = f"Not this simulator: {on} contradict it in {_listed(lacks)}."
    elif unsure:
        text = (
            f"Nothing in {on} contradicts this simulator, but they are too few to rule out differences above "
            f"{config.resolution:.0%} in {_listed(unsure)}."
        )
    else:
        text = (
            f"On pages like the logged ones, this simulator agrees with {on} within {config.resolution:.0%}."
        )
    return f"{text} {_ABOUT_RANKING[ranks]}"


def _listed(names: Sequence[str]) -> str:
    if len(names) > _NAMED:
        names = [*names[: _NAMED - 1], f"{len(names) - _NAMED + 1} more measures"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
