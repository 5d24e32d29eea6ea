"""What a policy is worth by the log alone, per logged slate; or 'no support' where the log cannot say.

Slates are judged by self-normalised item-position IPS (SNIIPS) with the policy's exact item marginals, single
impressions by self-normalised IPS (SNIPS); intervals are over sessions. See docs/off-policy.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from evaluation.estimators import Estimate, effective_sample_size, iips, ips, sniips, snips, snrips
from evaluation.intervals import Interval, estimate_interval, mean_interval
from evaluation.logged_actions import LoggedSlates, logged_slates

if TYPE_CHECKING:
    from agents.base import Policy
    from envs.observation import Observation

__all__ = ["OffPolicyConfig", "OffPolicyResult", "evaluate_off_policy"]


@dataclass(frozen=True, kw_only=True)
class OffPolicyConfig:
    """How a policy is judged from the log, and when the log is said not to support a figure."""

    purchase_weight: float = 5.0
    """The reward of a slate is clicks + purchase_weight x purchases."""
    level: float = 0.95
    """Confidence level of the intervals."""
    min_ess: float = 50.0
    """Least effective number of sessions; below it there is 'no support'."""
    max_unsupported: float = 0.1
    """Greatest share of the policy's choices that the log can never show. A mean weight below 1 - this share,
    beyond what chance explains, means 'no support'."""
    few_events: int = 30
    """Fewer logged clicks that carry weight than this: the figure stands, with a warning."""
    batch: int = 2048
    """Logged steps given to the policy at once."""


@dataclass(frozen=True, kw_only=True)
class OffPolicyResult:
    """The off-policy judgement of one policy."""

    policy: str
    """Name of the policy."""
    status: Literal["ok", "no support", "not applicable"]
    """'ok': `value` may be read with its interval; 'no support': the log cannot say; 'not applicable': the policy or
    the log states no propensities."""
    reason: str
    """Why there is no figure; empty where there is one."""
    estimator: str
    """Name of the estimator: SNIIPS for slates, SNIPS for single impressions."""
    interval: Interval | None
    """The value per logged slate (or impression), over sessions; None unless `status` is 'ok'."""
    lift: Interval | None
    """The value minus that of the logging policy on the same sessions; None unless `status` is 'ok'."""
    unnormalised: Interval | None
    """The same by plain IIPS or IPS: far from `interval` means that the weights are not to be trusted."""
    cascade: Interval | None
    """The same by SNRIPS, which lets a click depend on the items above it too; None where the log states no cascade
    propensities, or its effective sample is too small."""
    logged: Interval | None
    """The logging policy's own value on the same rows."""
    estimate: Estimate | None
    """The estimate with its terms, whatever the status; None where not applicable."""
    ess: float
    """Effective sample size in logged steps, the smallest over the positions; nan where not applicable."""
    ess_sessions: float
    """Effective number of sessions, the smallest over the positions; nan where not applicable."""
    mean_weight: float
    """Mean importance weight, the smallest over the positions: the share of the policy's choices inside the support."""
    max_weight: float
    """Largest importance weight."""
    n_steps: int
    """Logged steps behind the figure."""
    n_sessions: int
    """Sessions behind the figure."""
    n_weighted_clicks: int
    """Logged clicks on what the policy would show too."""
    warnings: tuple[str, ...]
    """What a reader must know beside the figure."""

    @property
    def value(self) -> float:
        """The estimate, nan unless the status is 'ok'."""
        return self.interval.value if self.interval is not None else float("nan")


def evaluate_off_policy(
    policy: Policy,
    steps: LoggedSteps,
    observation: Observation,
    *,
    config: OffPolicyConfig | None = None,
    name: str | None = None,
    progress: bool = True,
) -> OffPolicyResult:
    """Judges `policy` by logged steps.

    Args:
        policy: The policy judged; one without exact propensities gives 'not applicable'.
        steps: `M` logged steps with propensities, held out from everything the policy was fitted to.
        observation: What the policy would have seen at each of them (`envs.replay.observe_log`), `M` rows.
        config: Reward and criteria.
        name: Name for the result; the policy's own if None.
        progress: Whether to show a progress bar.

    Raises:
        InputError: `observation` does not match `steps`, or a propensity is outside (0, 1].
    """
    config = config or OffPolicyConfig()
    name = name or policy.name
    if steps.n_steps != observation.candidates.shape[0]:
        raise InputError(
            f"{steps.n_steps} logged steps and {observation.candidates.shape[0]} observations",
            where=f"off-policy evaluation of {name}",
            mend="Make the observations from the same steps with envs.replay.observe_log.",
        )
    estimator = "SNIPS" if steps.single_impressions else "SNIIPS"
    known = _known_rows(steps)
    if known.sum() < 2:
        return _not_applicable(name, estimator, "the log states no propensities")
    warnings = []
    if not known.all():
        warnings.append(
            f"{int((~known).sum())} of {steps.n_steps} logged steps state no propensity and are left out; the figure "
            "speaks for the others only."
        )
        rows = np.flatnonzero(known)
        steps, observation = steps.take(rows), observation.take(rows)
    slates = logged_slates(
        policy,
        steps,
        observation,
        purchase_weight=config.purchase_weight,
        batch=config.batch,
        progress=progress,
    )
    if slates is None:
        return _not_applicable(name, estimator, "the policy cannot state its propensities")
    if slates.outside:
        warnings.append(
            f"{slates.outside} logged items are not among the candidates that the policy was given; it could not show "
            "them."
        )
    return _judge(name, estimator, slates, steps, config, warnings)


def _judge(
    name: str,
    estimator: str,
    slates: LoggedSlates,
    steps: LoggedSteps,
    config: OffPolicyConfig,
    warnings: list[str],
) -> OffPolicyResult:
    normalised, plain = (snips, ips) if steps.single_impressions else (sniips, iips)
    arrays = slates.reward, slates.logging, slates.evaluation
    estimate, raw = normalised(*arrays), plain(*arrays)
    sessions = steps.session
    weights = estimate.weights  # (M, P)
    ess_sessions = _session_ess(weights, sessions)
    reason = _why_unsupported(estimate, weights, sessions, ess_sessions, config)
    positions = weights > 0 if weights.ndim == slates.click.ndim else weights[:, 0] > 0
    events = int(slates.click[positions].sum())
    total = slates.reward.reshape(slates.reward.shape[0], -1).sum(axis=1)  # (M,)
    if not reason and events < config.few_events:
        warnings.append(f"Only {events} logged clicks carry weight: this figure proves very little.")
    ok = not reason
    interval = estimate_interval(estimate, clusters=sessions, level=config.level)
    unnormalised = estimate_interval(raw, clusters=sessions, level=config.level)
    if ok and not interval.low <= unnormalised.value <= interval.high:
        warnings.append(
            f"Without self-normalisation the value is {unnormalised.value:.4g}, outside the interval:"
            " weights vary much."
        )
    cascade = _cascade(slates, sessions, config) if ok else None
    if cascade is not None and not cascade.low <= estimate.value <= cascade.high:
        warnings.append(
            f"Letting a click depend on the items above it (SNRIPS) gives {cascade.value:.4g}, and its interval "
            f"{cascade.low:.4g} to {cascade.high:.4g} leaves this figure out: items of a page seem to influence each "
            "other, which biases it."
        )
    return OffPolicyResult(
        policy=name,
        status="ok" if ok else "no support",
        reason=reason,
        estimator=estimator,
        interval=interval if ok else None,
        lift=mean_interval(estimate.terms - total, clusters=sessions, level=config.level) if ok else None,
        unnormalised=unnormalised if ok else None,
        cascade=cascade,
        logged=mean_interval(total, clusters=sessions, level=config.level),
        estimate=estimate,
        ess=estimate.ess,
        ess_sessions=ess_sessions,
        mean_weight=estimate.mean_weight,
        max_weight=estimate.max_weight,
        n_steps=steps.n_steps,
        n_sessions=steps.n_sessions,
        n_weighted_clicks=events,
        warnings=tuple(warnings),
    )


def _cascade(slates: LoggedSlates, sessions: NDArray[np.int64], config: OffPolicyConfig) -> Interval | None:
    """The value under weaker assumptions, where enough sessions carry weight."""
    if slates.cascade_logging is None or slates.cascade_evaluation is None:
        return None
    found = snrips(slates.reward, slates.cascade_logging, slates.cascade_evaluation)
    if not np.isfinite(found.value) or _session_ess(found.weights, sessions) < config.min_ess:
        return None
    return estimate_interval(found, clusters=sessions, level=config.level)


def _known_rows(steps: LoggedSteps) -> NDArray[np.bool_]:
    shown = steps.item >= 0  # (M, K)
    return np.asarray(shown.any(axis=1) & ~(shown & np.isnan(steps.propensity)).any(axis=1))


def _session_ess(weights: NDArray[np.float64], sessions: NDArray[np.int64]) -> float:
    """Effective number of sessions: Kish's formula on the weights summed by session."""
    _, dense = np.unique(sessions, return_inverse=True)
    sums = np.zeros((int(dense.max()) + 1, weights.shape[1]))
    np.add.at(sums, dense, weights)
    return float(effective_sample_size(sums).min())


def _why_unsupported(
    estimate: Estimate,
    weights: NDArray[np.float64],
    sessions: NDArray[np.int64],
    ess_sessions: float,
    config: OffPolicyConfig,
) -> str:
    """Why the log cannot say what the policy is worth; empty where it can.

    The expectation of a weight under the logging policy is the probability that the policy judged stays inside the
    log's support, so a mean weight surely below 1 shows choices that the log never makes.
    """
    if not np.isfinite(estimate.value) or estimate.ess == 0:
        return "the log never shows what the policy would show"
    if ess_sessions < config.min_ess:
        return f"effective number of sessions {ess_sessions:.1f}, below {config.min_ess:g}"
    # The half-width below is two-sided over all positions at once (Bonferroni), so that chance rarely condemns.
    n_positions = weights.shape[1]
    level = 1 - (1 - config.level) / n_positions
    for k in range(n_positions):
        inside = mean_interval(weights[:, k], clusters=sessions, level=level)
        if inside.high < 1 - config.max_unsupported:
            where = f" at position {k}" if n_positions > 1 else ""
            return (
                f"about {1 - inside.value:.0%} of the policy's choices{where} are never shown by the log "
                f"(mean weight {inside.value:.2f})"
            )
    return ""


def _not_applicable(name: str, estimator: str, reason: str) -> OffPolicyResult:
    nan = float("nan")
    return OffPolicyResult(
        policy=name,
        status="not applicable",
        reason=reason,
        estimator=estimator,
        interval=None,
        lift=None,
        unnormalised=None,
        cascade=None,
        logged=None,
        estimate=None,
        ess=nan,
        ess_sessions=nan,
        mean_weight=nan,
        max_weight=nan,
        n_steps=0,
        n_sessions=0,
        n_weighted_clicks=0,
        warnings=(),
    )
