"""Estimators by name: what each needs of a log, what it assumes, and how it is called on `Evidence`.

The command and the fluent layer use what fits a log. An estimator of one's own joins with `register`, or is named as
`module:function`; the function takes `Evidence` and returns an `Estimate`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from behavior.errors import InputError
from evaluation.estimators.cressie_read import cressie_read
from evaluation.estimators.impressions import (
    impression_dm,
    impression_dr,
    impression_dros,
    impression_sndr,
    tuned_clipped_ips,
)
from evaluation.estimators.pages import page_cascade_dr, page_dm, page_sncascade_dr
from evaluation.estimators.result import Estimate, ratio_estimate
from evaluation.estimators.sessions import pdis, wpdis
from evaluation.estimators.single import ips, snips
from evaluation.estimators.slate import iips, rips, sips, sniips, snrips, snsips

if TYPE_CHECKING:
    from evaluation.evidence import Evidence

__all__ = ["EstimatorEntry", "Form", "entry_of", "estimator_names", "fitting", "register", "why_unfit"]

Form = Literal["impression", "item", "cascade", "slate", "session", "any"]
"""The propensity that an estimator needs: of an item in a log of single impressions; of an item at its position of a
page; of the page down to a position; of whole pages; of all pages of a session; 'any': it finds out itself."""


@dataclass(frozen=True, kw_only=True)
class EstimatorEntry:
    """An estimator, and what one must know to choose it."""

    name: str
    """As in `--estimator`, such as `sniips`."""
    call: Callable[[Evidence], Estimate]
    """Makes the estimate."""
    needs: Form
    """The propensities it needs."""
    assumes: str
    """What must hold for it to be right, in one line."""
    normalised: bool = False
    """Whether it divides by the sum of weights."""
    reward_model: bool = False
    """Whether it fits a model of the reward."""
    weights_mean_one: bool = True
    """Whether its weights have mean 1 under full support; clipped, shrunk and switched ones have not."""
    per: Literal["page", "session"] = "page"
    """What its value is per; an impression counts as a page."""
    default: bool = True
    """Whether it is used where none is named."""
    rank: int = 100
    """Order of preference among those that hold: small is preferred, 100 is never chosen unasked."""


_ENTRIES: dict[str, EstimatorEntry] = {}


def register(entry: EstimatorEntry) -> EstimatorEntry:
    """Adds an estimator under its name.

    Raises:
        InputError: The name is taken.
    """
    if entry.name in _ENTRIES:
        raise InputError(
            f"there is an estimator {entry.name!r} already",
            where="evaluation.estimators.registry.register",
            mend="choose another name",
        )
    _ENTRIES[entry.name] = entry
    return entry


def estimator_names() -> tuple[str, ...]:
    """All names, in the order of their registration."""
    return tuple(_ENTRIES)


def entry_of(name: str) -> EstimatorEntry:
    """The estimator called `name`, or the function `module:function`.

    Raises:
        InputError: There is none.
    """
    if name in _ENTRIES:
        return _ENTRIES[name]
    if ":" in name:
        return _plug_in(name)
    near = difflib.get_close_matches(name, _ENTRIES, 1)
    raise InputError(
        f"unknown estimator {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        where="--estimators",
        mend=f"one of {', '.join(_ENTRIES)}, or module:function for one of your own",
    )


def why_unfit(entry: EstimatorEntry, evidence: Evidence) -> str:
    """Why the estimator does not fit this log; empty where it does."""
    if entry.needs == "any":
        return ""
    if evidence.single and entry.needs != "impression":
        return "the log holds single impressions, whose pages are not known"
    if not evidence.single and entry.needs == "impression":
        return "the log holds pages; this one is for single impressions"
    if entry.needs in ("cascade", "slate", "session") and evidence.cascade is None:
        return "the log, or the policy, states no propensities of whole pages"
    return ""


def fitting(evidence: Evidence, names: tuple[str, ...] = ()) -> tuple[EstimatorEntry, ...]:
    """The estimators that fit a log; of those named, where some are.

    Raises:
        InputError: One that is named does not fit.
    """
    if not names:
        return tuple(e for e in _ENTRIES.values() if e.default and not why_unfit(e, evidence))
    chosen = tuple(entry_of(name) for name in names)
    for entry in chosen:
        why = why_unfit(entry, evidence)
        if why:
            fit = ", ".join(e.name for e in _ENTRIES.values() if not why_unfit(e, evidence))
            raise InputError(why, where=f"--estimators {entry.name}", mend=f"these fit: {fit}")
    return chosen


def _plug_in(name: str) -> EstimatorEntry:
    from simulators.registry import load_class

    try:
        function = load_class(name)
    except InputError as error:
        raise InputError(
            error.what.replace("class", "function"), where=f"--estimators {name}", mend=error.mend
        ) from error

    def call(evidence: Evidence) -> Estimate:
        try:
            found = function(evidence)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"the estimator raised {type(error).__name__}: {error}",
                where=name,
                mend="it is called with one argument, evaluation.evidence.Evidence, and returns an Estimate",
            ) from error
        if not isinstance(found, Estimate) or np.asarray(found.terms).shape[0] != evidence.steps.n_steps:
            raise InputError(
                f"the estimator returned {type(found).__name__}, expected an Estimate with one term a row",
                where=name,
                mend="build it with evaluation.estimators.ratio_estimate",
            )
        return found

    return EstimatorEntry(
        name=name, call=call, needs="any", assumes="what its author says", weights_mean_one=False
    )


def _item(function: Callable[..., Estimate]) -> Callable[[Evidence], Estimate]:
    return lambda evidence: function(evidence.reward, *evidence.item)


def _cascade(function: Callable[..., Estimate]) -> Callable[[Evidence], Estimate]:
    def call(evidence: Evidence) -> Estimate:
        assert evidence.cascade is not None  # `why_unfit` has looked
        return function(evidence.reward, *evidence.cascade)

    return call


def _session(function: Callable[..., Estimate]) -> Callable[[Evidence], Estimate]:
    def call(evidence: Evidence) -> Estimate:
        assert evidence.cascade is not None
        steps = evidence.steps
        return function(
            evidence.reward, *evidence.cascade, session=steps.session, step=steps.step, carry=evidence.slate
        )

    return call


def _fitted_q(evidence: Evidence) -> Estimate:
    from evaluation.fqe.pages import fitted_q_evaluation

    if evidence.shop is None or evidence.single:
        raise InputError(
            "there are no tables of items and queries to fit values with"
            if evidence.shop is None
            else "a log of single impressions has no sessions of pages",
            where="fqe",
            mend="name a run among the policies, or pass shop=(features, task) to LogJudge.with_policies",
        )
    features, task = evidence.shop
    # Sessions end at the step limit, as those of the log and of simulated users do that the figure stands beside.
    found = fitted_q_evaluation(
        evidence.policy, evidence.steps, features, task, at_limit="stop", progress=False
    )
    if not (found.converged and np.isfinite(found.value)):
        raise InputError(
            f"the values had not settled after {found.rounds} rounds",
            where="fqe",
            mend="call evaluation.fqe.fitted_q_evaluation with another FqeConfig: more ridge, a discount below 1",
        )
    ones = np.ones((found.n_sessions, 1))
    made = ratio_estimate("FQE", weights=ones, numerator=np.asarray(found.terms)[:, None], denominator=ones)
    return replace(made, caveat=_FITTED)


def _slate(function: Callable[..., Estimate]) -> Callable[[Evidence], Estimate]:
    def call(evidence: Evidence) -> Estimate:
        assert evidence.slate is not None
        return function(evidence.reward, *evidence.slate)

    return call


_FITTED = "fitted values that nothing corrects: the interval does not count what their features miss"
_OVERLAP = "propensities are right, and the log can show whatever the policy would"
_ITEM = "a position's reward depends on its own item and position only"
_CASCADE = "a position's reward depends on the items down to it only"
_SESSION = "within a page, rewards depend on the items down to theirs; overlap of all pages of a session"
_WHOLE = "nothing of how users look at a page"

for _entry in (
    EstimatorEntry(name="ips", call=_item(ips), needs="impression", assumes=_OVERLAP),
    EstimatorEntry(
        name="snips", call=_item(snips), needs="impression", assumes=_OVERLAP, normalised=True, rank=10
    ),
    EstimatorEntry(
        name="cressie_read",
        call=_item(cressie_read),
        needs="impression",
        assumes=_OVERLAP,
        normalised=True,
        default=False,
    ),
    EstimatorEntry(
        name="clipped_ips",
        call=tuned_clipped_ips,
        needs="impression",
        assumes=f"{_OVERLAP}; what clipping takes away is small",
        default=False,
    ),
    EstimatorEntry(
        name="dm",
        call=impression_dm,
        needs="impression",
        assumes="the reward model is right wherever the policy goes",
        reward_model=True,
        default=False,
    ),
    EstimatorEntry(
        name="dr", call=impression_dr, needs="impression", assumes=_OVERLAP, reward_model=True, default=False
    ),
    EstimatorEntry(
        name="sndr",
        call=impression_sndr,
        needs="impression",
        assumes=_OVERLAP,
        normalised=True,
        reward_model=True,
        default=False,
    ),
    EstimatorEntry(
        name="dros",
        call=impression_dros,
        needs="impression",
        assumes=f"{_OVERLAP}; the reward model is nearly right where weights are large",
        reward_model=True,
        default=False,
    ),
    EstimatorEntry(name="iips", call=_item(iips), needs="item", assumes=_ITEM),
    EstimatorEntry(name="sniips", call=_item(sniips), needs="item", assumes=_ITEM, normalised=True, rank=10),
    EstimatorEntry(name="rips", call=_cascade(rips), needs="cascade", assumes=_CASCADE),
    EstimatorEntry(
        name="snrips", call=_cascade(snrips), needs="cascade", assumes=_CASCADE, normalised=True, rank=20
    ),
    EstimatorEntry(
        name="cascade_dr",
        call=page_cascade_dr,
        needs="cascade",
        assumes=_CASCADE,
        reward_model=True,
        default=False,
    ),
    EstimatorEntry(
        name="sncascade_dr",
        call=page_sncascade_dr,
        needs="cascade",
        assumes=_CASCADE,
        normalised=True,
        reward_model=True,
        default=False,
    ),
    EstimatorEntry(
        name="slate_dm",
        call=page_dm,
        needs="item",
        assumes=f"{_ITEM}; the reward model is right wherever the policy goes",
        reward_model=True,
        default=False,
    ),
    EstimatorEntry(name="sips", call=_slate(sips), needs="slate", assumes=_WHOLE),
    EstimatorEntry(
        name="snsips", call=_slate(snsips), needs="slate", assumes=_WHOLE, normalised=True, rank=30
    ),
    EstimatorEntry(name="pdis", call=_session(pdis), needs="session", assumes=_SESSION, per="session"),
    EstimatorEntry(
        name="wpdis", call=_session(wpdis), needs="session", assumes=_SESSION, normalised=True, per="session"
    ),
    EstimatorEntry(
        name="fqe",
        call=_fitted_q,
        needs="any",
        assumes="what is observed of a session tells its future, and the fitted form can say it",
        normalised=True,
        reward_model=True,
        weights_mean_one=False,
        per="session",
        default=False,
    ),
):
    register(_entry)
