"""Boundaries against published ones, error and power against simulation, and plans worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtri

from behavior.errors import InputError
from evaluation.ab_test import ABDesign, plan_ab_test
from evaluation.sequential import (
    boundary,
    crossing_probabilities,
    drift_for_power,
    mixture_rho,
    sequence_half_width,
    spent,
)

FIVE = (0.2, 0.4, 0.6, 0.8, 1.0)


def test_one_look_is_the_fixed_test() -> None:
    assert boundary((1.0,)) == pytest.approx([1.959964], abs=1e-5)
    assert drift_for_power((1.0,), boundary((1.0,)), power=0.8) == pytest.approx(
        ndtri(0.975) + ndtri(0.8), abs=1e-5
    )


def test_boundaries_of_lan_and_demets() -> None:
    """Five looks at level 0.05, two-sided: the values of Reboussin, DeMets, Kim and Lan's program."""
    assert boundary(FIVE) == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-3)
    assert boundary(FIVE, spending="pocock") == pytest.approx(
        [2.4380, 2.4268, 2.4101, 2.3966, 2.3859], abs=2e-3
    )


def test_the_error_is_what_was_spent() -> None:
    for spending in ("obrien-fleming", "pocock", "none"):
        critical = boundary(FIVE, spending=spending)
        found = crossing_probabilities(FIVE, critical, drift=0.0)
        wanted = np.diff(spent(np.array(FIVE), 0.05, spending), prepend=0.0)
        assert found == pytest.approx(wanted, abs=2e-6)
    assert boundary(FIVE, spending="none")[-1] == pytest.approx(1.96, abs=1e-3)


def test_crossing_agrees_with_simulated_walks() -> None:
    critical = boundary(FIVE, spending="pocock")
    rng = np.random.default_rng(0)
    steps = rng.normal(2.5 * 0.2, np.sqrt(0.2), (200_000, 5))
    z = np.abs(np.cumsum(steps, axis=1)) / np.sqrt(FIVE)
    first = np.where((z >= critical).any(axis=1), (z >= critical).argmax(axis=1), 5)
    found = np.bincount(first, minlength=6)[:5] / len(z)
    assert found == pytest.approx(crossing_probabilities(FIVE, critical, drift=2.5), abs=0.005)


def test_confidence_sequence_holds_at_all_looks() -> None:
    rng = np.random.default_rng(1)
    rho = mixture_rho(500)
    n = np.arange(50, 2001, dtype=np.float64)
    missed = 0
    for _ in range(400):
        means = np.cumsum(rng.standard_normal(2000))[49:] / n
        missed += bool((np.abs(means) > sequence_half_width(n, np.ones_like(n), rho=rho)).any())
    assert missed <= 400 * 0.05 + 3 * np.sqrt(400 * 0.05 * 0.95)


def test_rho_makes_its_own_time_tightest() -> None:
    best = sequence_half_width(np.array(1000.0), np.array(1.0), rho=mixture_rho(1000))
    for other in (300, 3000):
        assert best < sequence_half_width(np.array(1000.0), np.array(1.0), rho=mixture_rho(other))


def test_a_plan_by_hand() -> None:
    """Deviation 2, effect 0.5, level 0.05, power 0.8: 2 x 4 x 7.849 / 0.25 = 251.2 users an arm."""
    plan = plan_ab_test(ABDesign(mean=3.0, deviation=2.0, effect=0.5, users_per_day=100))
    assert plan.fixed == plan.users == 503
    assert plan.days == pytest.approx(5.03)
    assert plan.weeks == 1
    assert plan.stops.sum() == pytest.approx(0.8, abs=1e-6)
    assert plan.expected == pytest.approx(503)


def test_looks_cost_users_and_save_them_on_average() -> None:
    design = ABDesign(mean=3.0, deviation=2.0, effect=0.5, looks=5)
    five = plan_ab_test(design)
    assert 1.02 < five.users / five.fixed < 1.04, "O'Brien and Fleming with five looks: some 3 per cent"
    assert five.expected < five.fixed
    pocock = plan_ab_test(replace(design, spending="pocock"))
    assert 1.19 < pocock.users / pocock.fixed < 1.23
    assert pocock.anytime > five.users, "looking after every user costs more than five looks"
    uneven = plan_ab_test(replace(design, share=0.1, looks=1))
    assert uneven.fixed / five.fixed == pytest.approx((1 / 0.1 + 1 / 0.9) / 4, rel=0.01)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("effect", 0.0),
        ("deviation", -1.0),
        ("power", 1.2),
        ("alpha", 0.0),
        ("looks", 0),
        ("users_per_day", 0),
    ],
)
def test_no_design(field: str, value: float) -> None:
    with pytest.raises(InputError, match=field):
        ABDesign(**{"mean": 1.0, "deviation": 1.0, "effect": 0.1, field: value})  # type: ignore[arg-type]


def test_looks_rise_to_one() -> None:
    for wrong in ((0.5, 0.4, 1.0), (0.5,), (0.0, 1.0)):
        with pytest.raises(InputError, match="look"):
            boundary(wrong)
