"""What a policy is worth by the log alone, per logged slate; or 'no support' where the log cannot say.

Slates are judged by self-normalised item-position IPS (SNIIPS) with the policy's exact item marginals, single
impressions by self-normalised IPS (SNIPS); intervals are over users. See docs/off-policy.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps
from evaluation.estimators import Estimate, iips, ips, sniips, snips, snrips
from evaluation.evidence import gather_evidence
from evaluation.intervals import Interval, estimate_interval, mean_interval
from evaluation.logged_actions import LoggedSlates
from evaluation.support import SupportLimits, cluster_ess, why_unsupported

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
    """Least effective number of users; below it there is 'no support'."""
    max_unsupported: float = 0.1
    """Greatest share of the policy's choices that the log can never show. A mean weight below 1 - this share,
    beyond what chance explains, means 'no support'."""
    few_events: int = 30
    """Fewer logged clicks that carry weight than this: the figure stands, with a warning."""
    batch: int = 2048
    """Logged steps given to the policy at once."""

    @property
    def limits(self) -> SupportLimits:
        """When a figure is not believed."""
        return SupportLimits(min_ess=self.min_ess, max_unsupported=self.max_unsupported, level=self.level)


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
    """The value per logged slate (or impression), over users; None unless `status` is 'ok'."""
    lift: Interval | None
    """The value minus that of the logging policy on the same pages; None unless `status` is 'ok'."""
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
    ess_users: float
    """Effective number of users (of sessions, where the log knows no users), the smallest over the positions; nan where
    not applicable."""
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
    estimator = "SNIPS" if steps.single_impressions else "SNIIPS"
    found = gather_evidence(
        policy,
        steps,
        observation,
        purchase_weight=config.purchase_weight,
        batch=config.batch,
        name=name,
        progress=progress,
    )
    if isinstance(found, str):
        return _not_applicable(name, estimator, found)
    return _judge(name, estimator, found.slates, found.steps, config, list(found.notes()))


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
    users = steps.user  # a user's sessions are no more independent than a session's pages
    weights = estimate.weights  # (M, P)
    ess_users = cluster_ess(weights, users)
    reason = why_unsupported(estimate, users, config.limits)
    positions = weights > 0 if weights.ndim == slates.click.ndim else weights[:, 0] > 0
    events = int(slates.click[positions].sum())
    total = slates.reward.reshape(slates.reward.shape[0], -1).sum(axis=1)  # (M,)
    if not reason and events < config.few_events:
        warnings.append(f"Only {events} logged clicks carry weight: this figure proves very little.")
    ok = not reason
    interval = estimate_interval(estimate, clusters=users, level=config.level)
    unnormalised = estimate_interval(raw, clusters=users, level=config.level)
    if ok and not interval.low <= unnormalised.value <= interval.high:
        warnings.append(
            f"Without self-normalisation the value is {unnormalised.value:.4g}, outside the interval:"
            " weights vary much."
        )
    cascade = _cascade(slates, users, config) if ok else None
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
        lift=mean_interval(estimate.terms - total, clusters=users, level=config.level) if ok else None,
        unnormalised=unnormalised if ok else None,
        cascade=cascade,
        logged=mean_interval(total, clusters=users, level=config.level),
        estimate=estimate,
        ess=estimate.ess,
        ess_users=ess_users,
        mean_weight=estimate.mean_weight,
        max_weight=estimate.max_weight,
        n_steps=steps.n_steps,
        n_sessions=steps.n_sessions,
        n_weighted_clicks=events,
        warnings=tuple(warnings),
    )


def _cascade(slates: LoggedSlates, users: NDArray[np.int64], config: OffPolicyConfig) -> Interval | None:
    """The value under weaker assumptions, where enough users carry weight."""
    if slates.cascade_logging is None or slates.cascade_evaluation is None:
        return None
    found = snrips(slates.reward, slates.cascade_logging, slates.cascade_evaluation)
    if not np.isfinite(found.value) or cluster_ess(found.weights, users) < config.min_ess:
        return None
    return estimate_interval(found, clusters=users, level=config.level)


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
        ess_users=nan,
        mean_weight=nan,
        max_weight=nan,
        n_steps=0,
        n_sessions=0,
        n_weighted_clicks=0,
        warnings=(),
    )
