"""The chapter of a run that says how far its simulator's policy values can be believed: agreement and exploits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from agents.registry import AgentInputs
from behavior.errors import InputError
from evaluation.agreement import measure_agreement
from evaluation.agreement_result import Agreement
from evaluation.cross_matrix import CrossMatrix, cross_results
from evaluation.off_policy import OffPolicyResult
from evaluation.outcomes import OnlineResult
from evaluation.policy_set import policy_set
from evaluation.policy_values import off_policy_values, online_values, page_values
from evaluation.run_artifacts import Judgement, JudgeOptions, RunArtifacts, judge_from_log, judge_online
from evaluation.simulated_value import simulate_values
from simulators.ensemble import EnsembleSimulator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.base import Policy

__all__ = ["TRUE_STORE", "AgreementChapter", "judge_agreement"]

TRUE_STORE = "the true store"
_FROM_LOG = "off-policy estimates from the log"
_LEAST = 3
_MEMBER_USERS = 500  # of each policy in each member of an ensemble


@dataclass(frozen=True, kw_only=True)
class AgreementChapter:
    """What a run says of its simulator's policy values."""

    simulator: str
    """Name of the simulator."""
    agreement: Agreement | None
    """Against the true store, or against estimates from the log; None where neither can be had."""
    reason: str
    """Why there is no agreement to show; empty where there is."""
    unit: str
    """What a value is per: session, page or impression."""
    unsupported: tuple[tuple[str, str], ...] = ()
    """Policies left out, and why."""
    cross: CrossMatrix | None = None
    """The run's policies in other simulators; None where no other was fitted."""

    def sentence(self) -> str:
        """The finding in plain words."""
        if self.agreement is None:
            return f"Nothing can be said of how {self.simulator} ranks policies: {self.reason}."
        return self.agreement.sentence()

    def to_json(self) -> dict[str, Any]:
        """Plain data; None where there is no number."""
        return {
            "simulator": self.simulator,
            "unit": self.unit,
            "sentence": self.sentence(),
            "agreement": self.agreement.to_json() if self.agreement is not None else None,
            "reason": self.reason,
            "unsupported": dict(self.unsupported),
            "cross": self.cross.to_json() if self.cross is not None else None,
        }


def judge_agreement(
    run: RunArtifacts,
    options: JudgeOptions,
    *,
    against: Literal["auto", "store", "log"] = "auto",
    judged: Judgement | None = None,
    off_policy: Mapping[str, OffPolicyResult] | None = None,
) -> AgreementChapter:
    """Compares the simulator's values of a run's policies and of `evaluation.policy_set` with the truth.

    Args:
        run: Policies, worlds and log.
        options: Users and seed.
        against: 'store': the true store; 'log': off-policy estimates; 'auto': the store where it is known.
        judged: What `judge_online` found for the run's own policies with the same options; made here where None.
        off_policy: What `judge_from_log` found for them; the others are judged here.

    Raises:
        InputError: The true store is asked for and not known.
    """
    if against == "store" and run.world_true is None:
        raise InputError(
            "the truth about this shop is not known", where="--against store", mend="use --against log"
        )
    by_store = run.world_true is not None and against != "log"
    # The judgement serves everyone in all worlds; oracles see hidden state and are no policies of a shop.
    plain = replace(run, oracles_true={}, oracles_fitted={}, world_true=run.world_true if by_store else None)
    everyone = _policies(run)
    if judged is None or (by_store and judged.fitted is None):
        judged = judge_online(replace(plain, policies=run.policies), options)
    missing = {name: policy for name, policy in everyone.items() if name not in judged.online.outcomes}
    extra = judge_online(replace(plain, policies=missing), options)
    simulated = _join(judged.fitted or judged.online, extra.fitted or extra.online, everyone)
    reference = run.behaviour if run.behaviour in everyone else "random"
    cross = _cross(plain, options, judged, reference)
    if by_store:
        true = online_values(_join(judged.online, extra.online, everyone))
        values = online_values(simulated)
        agreement = measure_agreement(
            *(values.value, true.take(values.names).value),
            simulated_error=values.covariance,
            true_error=true.take(values.names).covariance,
            intervals=_member_intervals(plain, everyone, values.names, options),
            names=values.names,
            reference=reference,
            truth=TRUE_STORE,
        )
        return AgreementChapter(
            simulator=run.simulator, agreement=agreement, reason="", unit="session", cross=cross
        )
    return _by_log(plain, options, everyone, simulated, reference, off_policy or {}, cross)


def _by_log(
    run: RunArtifacts,
    options: JudgeOptions,
    everyone: Mapping[str, Policy],
    simulated: OnlineResult,
    reference: str,
    known: Mapping[str, OffPolicyResult],
    cross: CrossMatrix | None,
) -> AgreementChapter:
    missing = {name: policy for name, policy in everyone.items() if name not in known}
    found = {**known, **judge_from_log(replace(run, policies=missing), options)}
    found = {name: result for name, result in found.items() if name in everyone}
    unsupported = tuple((name, result.reason) for name, result in found.items() if result.status != "ok")
    nothing = AgreementChapter(
        simulator=run.simulator, agreement=None, reason="", unit="page", unsupported=unsupported, cross=cross
    )
    if not found or run.steps_test is None:
        return replace(
            nothing, reason="the true store is not known, and the log states no propensities or no candidates"
        )
    true = off_policy_values(found, run.steps_test.user)
    if true is None or len(true.names) < _LEAST:
        count = 0 if true is None else len(true.names)
        return replace(
            nothing,
            reason=f"the log supports an estimate of {count} of {len(found)} policies, and an order needs {_LEAST}",
        )
    values = page_values(simulated).take(true.names)
    # A row of such a log is one position of a page.
    share = run.task.slate_size if true.unit == "impression" else 1
    agreement = measure_agreement(
        values.value / share,
        true.value,
        simulated_error=values.covariance / share**2,
        true_error=true.covariance,
        names=true.names,
        reference=reference if reference in true.names else None,
        truth=_FROM_LOG,
    )
    return replace(nothing, agreement=agreement, unit="impression" if share > 1 else "page")


def _policies(run: RunArtifacts) -> dict[str, Policy]:
    """The policy set, and the run's own policies."""
    inputs = AgentInputs(features=run.world_fitted.features)
    return {**policy_set(inputs, learned=run.policies), **run.policies}


def _join(first: OnlineResult, second: OnlineResult, names: Mapping[str, Policy]) -> OnlineResult:
    outcomes = {**first.outcomes, **second.outcomes}
    return replace(first, outcomes={name: outcomes[name] for name in names if name in outcomes})


def _member_intervals(
    run: RunArtifacts, policies: Mapping[str, Policy], names: tuple[str, ...], options: JudgeOptions
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Intervals that hold what the log could not tell, where the simulator is an ensemble."""
    if not isinstance(run.world_fitted.simulator, EnsembleSimulator):
        return None
    values = simulate_values(
        policies,
        run.world_fitted,
        run.task,
        n_users=min(options.users, _MEMBER_USERS),
        seed=run.seed if options.seed is None else options.seed,
        first_user=run.first_user,
        progress=not options.quiet,
    )
    ends = [(values[name].interval.low, values[name].interval.high) for name in names]
    return np.array([low for low, _ in ends]), np.array([high for _, high in ends])


def _cross(
    run: RunArtifacts,
    options: JudgeOptions,
    judged: Judgement,
    reference: str,
) -> CrossMatrix | None:
    """The run's own policies in the other simulators, where there are any."""
    if not run.other_simulators:
        return None
    results = {run.simulator: judged.fitted or judged.online}
    for name, other in run.other_simulators.items():
        world = replace(run.world_fitted, simulator=other)
        results[name] = judge_online(replace(run, world_fitted=world, world_true=None), options).online
    if judged.fitted is not None:
        results[TRUE_STORE] = judged.online
    own = set(run.policies)
    return cross_results(
        results,
        {run.trained: run.simulator} if run.trained is not None else {},
        reference=reference,
        true_world=TRUE_STORE if judged.fitted is not None else None,
        policies=own,
    )
