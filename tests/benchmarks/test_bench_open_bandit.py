"""Foretelling one policy's click rate from the other's log: on made logs with many clicks, and the table's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from behavior.errors import InputError
from benchmarks.open_bandit import OpenBanditOptions, measure, table_of

RATES = np.array([0.05, 0.1, 0.15, 0.2, 0.4, 0.6])


def _campaign(folder: Path, law: np.ndarray, rng: np.random.Generator, n: int = 2500) -> float:
    """A campaign under a policy that shows item i with probability `law[i]` in any slot; its true click rate."""
    folder.mkdir(parents=True)
    item = rng.choice(RATES.size, n, p=law)
    pd.DataFrame(
        {
            "timestamp": pd.date_range("2019-11-24", periods=n, freq="s", tz="UTC").astype(str),
            "item_id": item,
            "position": rng.integers(1, 4, n),
            "click": (rng.random(n) < RATES[item]).astype(int),
            "propensity_score": law[item],
            "user_feature_0": rng.choice(["a", "b"], n),
        }
    ).to_csv(folder / "all.csv")
    context = pd.DataFrame({"item_id": range(RATES.size), "item_feature_0": rng.normal(size=RATES.size)})
    context["item_feature_1"] = [
        f"{folder.parent.name}{i % 2}" for i in range(RATES.size)
    ]  # renamed in each log
    context.to_csv(folder / "item_context.csv")
    return float(law @ RATES)


@pytest.mark.slow
def test_with_many_clicks_the_other_policy_is_foretold(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    laws = {"random": np.full(6, 1 / 6), "bts": np.array([0.05, 0.05, 0.1, 0.2, 0.25, 0.35])}
    true = {name: _campaign(tmp_path / name / "all", law, rng) for name, law in laws.items()}
    found = measure(OpenBanditOptions(quick=True, data=tmp_path))
    assert [(one["fitted_to"], one["foretold"]) for one in found["directions"]] == [
        ("random", "bts"),
        ("bts", "random"),
    ]
    for one in found["directions"]:
        truth = true[one["foretold"]]
        assert abs(true["bts"] - true["random"]) > 0.1  # what the other log's own rate would be wrong by
        assert one["simulated"]["value"] == pytest.approx(truth, abs=0.05)
        assert one["snips"]["value"] == pytest.approx(truth, abs=0.05)
        assert one["own_rate"]["low"] < truth < one["own_rate"]["high"]
        assert one["simulated"]["low"] < one["simulated"]["value"] < one["simulated"]["high"]
        assert one["log_likelihood_gain_per_1000"]["low"] > 0  # it knows more than a constant rate
    assert "differ surely in 1 of 1 campaigns (all)" in table_of(found)


def _direction(source: str, target: str, **changed: Any) -> dict[str, Any]:
    def around(value: float, half: float) -> dict[str, float]:
        return {"value": value, "low": value - half, "high": value + half}

    return {
        "campaign": "men",
        "fitted_to": source,
        "foretold": target,
        "clicks": {"fitted_to": 40, "foretold": 60},
        "own_rate": around(0.006, 0.001),
        "simulated": around(0.005, 0.001),
        "snips": around(0.004, 0.002),
        "snips_ess": 3.0,
        "snips_supported": False,
        "rate_of_fitted_log": around(0.004, 0.001),
        "simulated_minus_own": around(-0.001, 0.0014),
        "snips_minus_own": around(-0.002, 0.0022),
        "log_likelihood_gain_per_1000": around(-2.0, 1.0),
        **changed,
    }


def test_the_words_of_the_table() -> None:
    rows = [_direction("random", "bts", snips_supported=True, snips_ess=1234.0), _direction("bts", "random")]
    text = table_of({"directions": rows})
    assert (
        "| men | random (40 clicks) | Thompson sampling | 60, 0.60 (0.50 to 0.70) | 0.50 (0.40 to 0.60) |"
        in text
    )
    assert "0.40 (0.20 to 0.60) (1,234)" in text
    assert "no support (3)" in text
    assert "differ surely in 1 of 1 campaigns (men)" in text  # .2 apart, ±.14
    assert "in 2 of 2 directions" in text
    assert "in 1 of 1 that SNIPS supports" in text
    assert "surely better in 0 of 2 directions, surely worse in 2" in text
    # Over the one supported direction: .1 and .2 percentage points.
    assert "simulated 0.100, SNIPS 0.200, the first log's own rate 0.200" in text


def test_the_data_has_to_be_named() -> None:
    with pytest.raises(InputError, match="not named"):
        measure(OpenBanditOptions())
