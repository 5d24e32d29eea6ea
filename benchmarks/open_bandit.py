"""Between the two policies of the Open Bandit Dataset: what one policy's log foretells of the other's click rate.

A simulator is fitted to the log of one policy (random, or Bernoulli Thompson sampling) and shown what the other one
displayed: the same item in the same position to a user of the same features. The mean click probability foretells that
policy's click rate, which its own log states. Beside it stands the off-policy estimate (SNIPS) from the first log, and
the first log's own rate, which knows nothing of the other policy. All three campaigns, both directions.

    python -m benchmarks.open_bandit --data obd --json benchmarks/results/open_bandit.json

`obd` is the folder that holds random/all, bts/all and so on. `--write-docs` measures nothing: it writes the table of
docs/open-bandit.md anew from benchmarks/results/open_bandit.json.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from behavior import load
from behavior.dataset import Dataset
from behavior.errors import InputError
from behavior.steps import LoggedSteps
from benchmarks.common import Case, Options, case, main, result
from benchmarks.speed.docs import fill_blocks, read_kept
from encoders import build_features, fit_feature_relevance
from evaluation.estimators import snips
from evaluation.intervals import Interval, estimate_interval, mean_interval
from evaluation.off_policy import OffPolicyConfig
from evaluation.simulated_value import value_in_members
from simulators.ensemble import fit_ensemble
from simulators.fidelity import replay_logits
from simulators.fitted import FittedSimulator
from simulators.fitting.fit import fit_simulator

__all__ = ["OpenBanditOptions", "foretold", "measure", "table_of"]

CAMPAIGNS = ("all", "men", "women")
POLICIES = ("random", "bts")
_DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "open-bandit.md"
_NAMES = {"random": "random", "bts": "Thompson sampling"}


@dataclass(frozen=True, kw_only=True)
class OpenBanditOptions(Options):
    """Where the data lies."""

    data: Path | None = None
    """Folder of the data set: it holds random/all, bts/all, and so on."""
    members: int = 16
    """Fits to resampled rows, whose spread makes the interval of what is foretold."""
    write_docs: bool = False
    """Measure nothing; write the table of the docs anew."""


def measure(options: OpenBanditOptions) -> dict[str, Any]:
    """All campaigns and directions as one JSON-ready object; `--quick`: one campaign, four members."""
    if options.write_docs:
        return _write_docs()
    if options.data is None:
        raise InputError(
            "the data is not named", where="--data", mend="name the folder that holds random/all and bts/all"
        )
    campaigns = CAMPAIGNS[:1] if options.quick else CAMPAIGNS
    directions = []
    for campaign in tqdm(campaigns, desc="open bandit", unit="campaign", disable=None, leave=False):
        logs = {
            policy: load(f"open-bandit:{options.data / policy / campaign}", progress=False)
            for policy in POLICIES
        }
        for source in POLICIES:
            target = POLICIES[1 - POLICIES.index(source)]
            members = 4 if options.quick else options.members
            directions.append(
                {"campaign": campaign, "fitted_to": source, "foretold": target}
                | _direction(logs[source], logs[target], source, members)
            )
    cases = [found for one in directions for found in _cases(one)]
    return result("open_bandit", cases, packages=("numpy", "numba")) | {"directions": directions}


def _direction(source: Dataset, target: Dataset, policy: str, members: int) -> dict[str, Any]:
    """What the log of `policy` foretells of the other policy, and what that one's own log says."""
    fitted = source.log.to_steps(source.catalog)
    # Items have the same numbers in both logs, and users the same features; the catalogue is that of the first.
    shown = target.log.to_steps(source.catalog, fitted.queries, fitted.context_names)
    relevance = fit_feature_relevance(source.catalog, fitted)
    features = build_features(source.catalog, fitted.queries, fitted, relevance, progress=False)
    chance = foretold(fit_simulator("pbm", fitted, shown, features, progress=False), shown)  # (rows,)
    ensemble = fit_ensemble(("pbm",), fitted, shown, features, n_members=members, seed=0, progress=False)
    spread = value_in_members(np.stack([foretold(member, shown) for member in ensemble.members])).interval
    simulated = _around(float(chance.mean()), spread)
    click, own = _of_rows(shown.click, shown), mean_interval(_of_rows(shown.click, shown))
    rate = mean_interval(_of_rows(fitted.click, fitted))
    estimate = snips(
        _of_rows(fitted.click, fitted),
        _of_rows(fitted.propensity, fitted),
        _evaluation(fitted, shown, uniform=policy == "bts", n_items=source.catalog.n_items),
    )
    known = _log_likelihood(chance, click) - _log_likelihood(rate.value, click)
    return {
        "rows": shown.n_steps,
        "clicks": {"fitted_to": int(fitted.click.sum()), "foretold": int(shown.click.sum())},
        "own_rate": _plain(own),
        "simulated": _plain(simulated),
        "snips": _plain(estimate_interval(estimate)),
        "snips_ess": estimate.ess,
        "snips_supported": bool(estimate.ess >= OffPolicyConfig().min_ess),
        "snips_mean_weight": estimate.mean_weight,
        "rate_of_fitted_log": _plain(rate),
        "simulated_minus_own": _plain(_difference(simulated, own)),
        "snips_minus_own": _plain(_difference(estimate_interval(estimate), own)),
        "log_likelihood_gain_per_1000": _plain(mean_interval(1000 * known)),
    }


def foretold(simulator: FittedSimulator, steps: LoggedSteps) -> NDArray[np.float64]:
    """Click probability (M,) of what each row of single impressions shows, in its slot."""
    return _of_rows(simulator.examination.click_probability(replay_logits(simulator, steps)), steps)


def _around(value: float, spread: Interval) -> Interval:
    """The fit to the log as it is, with an interval as wide as that of the fits to its resamples."""
    half = spread.half_width
    return replace(spread, value=value, low=max(0.0, value - half), high=value + half)


def _of_rows(array: NDArray[Any], steps: LoggedSteps) -> NDArray[np.float64]:
    """The entry (M,) of `array` (M, K) at the slot that each row knows."""
    at = (steps.item >= 0).argmax(axis=1)
    return np.asarray(array[np.arange(steps.n_steps), at], np.float64)


def _evaluation(
    fitted: LoggedSteps, shown: LoggedSteps, *, uniform: bool, n_items: int
) -> NDArray[np.float64]:
    """Probability (M,) that the other policy shows the item of each row of the first log in its slot.

    The random policy's is one over the items. Thompson sampling learned as the week went on and its law at a given
    time is not published; how often it showed an item in a slot over the whole log stands for it.
    """
    if uniform:
        return np.full(fitted.n_steps, 1 / n_items)
    k = fitted.slate_size
    slot = [(steps.item >= 0).argmax(axis=1) for steps in (fitted, shown)]
    counts = np.zeros((n_items, k))
    np.add.at(counts, (_of_rows(shown.item, shown).astype(np.int64), slot[1]), 1.0)
    share = counts / counts.sum(axis=0)
    return np.asarray(share[_of_rows(fitted.item, fitted).astype(np.int64), slot[0]])


def _log_likelihood(chance: NDArray[np.float64] | float, click: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(click * np.log(chance) + (1 - click) * np.log1p(-np.asarray(chance)))


def _difference(first: Interval, second: Interval) -> Interval:
    """Interval of `first - second`, of two logs: half-widths add in squares."""
    value = first.value - second.value
    reach = math.hypot(first.half_width, second.half_width)
    return Interval(
        value=value,
        low=value - reach,
        high=value + reach,
        standard_error=math.hypot(first.standard_error, second.standard_error),
        level=first.level,
        n_clusters=min(first.n_clusters, second.n_clusters),
        method="independent intervals",
    )


def _plain(interval: Interval) -> dict[str, float]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def _cases(one: dict[str, Any]) -> list[Case]:
    what = f"{one['campaign']}, {one['fitted_to']} foretells {one['foretold']}"
    own = one["own_rate"]["value"]
    return [
        case(f"{what}: {words}", one[key]["value"], "clicks per impression", own)
        for key, words in (
            ("simulated", "simulated click rate"),
            ("snips", "SNIPS"),
            ("rate_of_fitted_log", "click rate of the log fitted to"),
        )
    ]


def table_of(found: dict[str, Any]) -> str:
    """The table of the docs: click rates in per cent with 95 % intervals."""
    lines = [
        "| campaign | fitted to the log of | foretold | its own log: clicks, rate | simulated | SNIPS from the first "
        "log (ESS) | rate of the first log | simulated − own |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in found["directions"]:
        cells = (
            one["campaign"],
            f"{_NAMES[one['fitted_to']]} ({one['clicks']['fitted_to']} clicks)",
            _NAMES[one["foretold"]],
            f"{one['clicks']['foretold']}, {_percent(one['own_rate'])}",
            _percent(one["simulated"]),
            f"{_percent(one['snips'])} ({one['snips_ess']:,.0f})"
            if one["snips_supported"]
            else f"no support ({one['snips_ess']:,.0f})",
            f"{100 * one['rate_of_fitted_log']['value']:.2f}",
            _percent(one["simulated_minus_own"], sign="+"),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n\n" + "\n".join(f"- {line}" for line in _findings(found["directions"]))


def _findings(directions: list[dict[str, Any]]) -> list[str]:
    """What the table says, counted and not judged by eye."""
    n = len(directions)

    judged = [one for one in directions if one["snips_supported"]]

    def covers(key: str, some: list[dict[str, Any]]) -> str:
        return f"{sum(one[key]['low'] <= 0 <= one[key]['high'] for one in some)} of {len(some)}"

    def error(key: str) -> float:
        gaps = [one[key]["value"] - one["own_rate"]["value"] for one in judged]
        return 100 * float(np.sqrt(np.mean(np.square(gaps))))

    half = [100 * (one["own_rate"]["high"] - one["own_rate"]["low"]) / 2 for one in directions]
    gains = [one["log_likelihood_gain_per_1000"] for one in directions]
    better, worse = sum(gain["low"] > 0 for gain in gains), sum(gain["high"] < 0 for gain in gains)
    differ = [
        one["campaign"]
        for one in directions
        if one["fitted_to"] == "random"
        and abs(one["own_rate"]["value"] - one["rate_of_fitted_log"]["value"])
        > math.hypot(*(one[key]["high"] - one[key]["value"] for key in ("own_rate", "rate_of_fitted_log")))
    ]
    return [
        f"By their own logs, the two policies' rates differ surely in {len(differ)} of {n // 2} campaigns"
        + (f" ({', '.join(differ)})." if differ else "."),
        f"Simulated and own rate: in {covers('simulated_minus_own', directions)} directions the interval of their "
        f"difference holds zero; SNIPS and own rate: in {covers('snips_minus_own', judged)} that SNIPS supports.",
        f"Root mean square distance from the policy's own rate over these {len(judged)}, in percentage points: "
        f"simulated "
        f"{error('simulated'):.3f}, SNIPS {error('snips'):.3f}, the first log's own rate "
        f"{error('rate_of_fitted_log'):.3f}. The own rates are themselves known to within ±{min(half):.2f} to "
        f"±{max(half):.2f}.",
        f"Log-likelihood of the other policy's clicks under the simulator, against a constant rate (that of the log "
        f"it was fitted to): surely better in {better} of {n} directions, surely worse in {worse}.",
    ]


def _percent(interval: dict[str, float], *, sign: str = "") -> str:
    ends = [f"{100 * interval[key]:{sign}.2f}" for key in ("low", "high")]
    return f"{100 * interval['value']:{sign}.2f} ({ends[0]} to {ends[1]})"


def _write_docs() -> dict[str, Any]:
    found = read_kept("open_bandit", mend="run python -m benchmarks.open_bandit with --data and --json")
    fill_blocks(_DOCUMENT, {"open-bandit": table_of(found)})
    return found


if __name__ == "__main__":
    sys.exit(main(measure, OpenBanditOptions, description=__doc__))
