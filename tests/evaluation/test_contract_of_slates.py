"""The contract of slate estimators: ours keep it, and it finds out those that do not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from evaluation.contract_slates import SLATE_CASES, SlateCase, check_slate_estimator
from evaluation.estimators import Estimate, iips, ratio_estimate, rips, sips, sniips, snrips, snsips
from evaluation.exact_slates import USERS, SlateLog, Users, exact_slates

ALONE: tuple[Users, ...] = ("position-based", "independent")
ABOVE: tuple[Users, ...] = (*ALONE, "reader", "cascade", "mixed")


@pytest.mark.parametrize("name", SLATE_CASES)
def test_ours_keep_it(name: str) -> None:
    check_slate_estimator(SLATE_CASES[name])


@pytest.mark.parametrize(
    "case",
    [
        SlateCase(lambda log: iips(log.reward, *log.item), ALONE),
        SlateCase(lambda log: sniips(log.reward, *log.item), ALONE, self_normalised=True),
        SlateCase(lambda log: rips(log.reward, *log.cascade), ABOVE),
        SlateCase(lambda log: snrips(log.reward, *log.cascade), ABOVE, self_normalised=True),
        SlateCase(lambda log: sips(log.reward, *log.slate), USERS),
        SlateCase(lambda log: snsips(log.reward, *log.slate), USERS, self_normalised=True),
    ],
)
def test_the_plain_ones_keep_it_too(case: SlateCase) -> None:
    check_slate_estimator(case)


def _of(log: SlateLog, reward: np.ndarray, weights: np.ndarray, *, name: str = "MINE") -> Estimate:
    return ratio_estimate(
        name, weights=weights, numerator=weights * reward, denominator=np.ones_like(weights)
    )


def _clipped(log: SlateLog) -> Estimate:
    return _of(log, log.reward, np.minimum(log.item[1] / log.item[0], 1.5))


def _unchecked(log: SlateLog) -> Estimate:
    return _of(log, log.reward, log.item[1] / log.item[0])


def _by_row_number(log: SlateLog) -> Estimate:
    found = iips(log.reward, *log.item)
    shift = np.arange(log.n_rows)[:, None] / log.n_rows
    return _of(log, log.reward + 0 * found.weights, log.item[1] / log.item[0] * (1 + shift))


def _writes(log: SlateLog) -> Estimate:
    log.reward[0, 0] += 1.0
    return iips(log.reward, *log.item)


@pytest.mark.parametrize(
    ("estimator", "right_for", "normalised", "says"),
    [
        (
            lambda log: iips(log.reward, *log.item),
            (*ALONE, "reader"),
            False,
            "users respond as 'reader', which the est",
        ),
        (lambda log: rips(log.reward, *log.cascade), ALONE, False, "it assumes less than it says"),
        (lambda log: iips(log.reward, *log.item), ALONE, True, "constant reward"),
        (_clipped, ALONE, False, "users respond as 'position-based'"),
        (_unchecked, ALONE, False, "a single row must raise InputError"),
        (_by_row_number, ALONE, False, "the order of the rows"),
        (_writes, ALONE, False, "must not write into `reward`|order of the rows|`position-based`"),
    ],
)
def test_it_finds_out_those_that_do_not(
    estimator: Callable[[SlateLog], Estimate], right_for: tuple[Users, ...], normalised: bool, says: str
) -> None:
    case = SlateCase(estimator, right_for, self_normalised=normalised)
    with pytest.raises(AssertionError, match=says):
        check_slate_estimator(case)


@pytest.mark.parametrize("n_positions", [1, 2, 3])
def test_what_the_logs_say_hangs_together(n_positions: int) -> None:
    log = exact_slates("cascade", n_positions=n_positions)
    counts = np.bincount(log.context * len(log.slates) + log.number, minlength=2 * len(log.slates))
    shares = counts.reshape(2, -1) / counts.reshape(2, -1).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, log.laws[0])
    np.testing.assert_array_equal(log.slates[log.number], log.action)
    for p in range(2):
        np.testing.assert_allclose(log.cascade[p][:, -1], log.slate[p])
        np.testing.assert_allclose(log.cascade[p][:, 0], log.item[p][:, 0])
        np.testing.assert_allclose(log.sets[p][:, :2], log.cascade[p][:, :2])  # one item has one order
        assert (log.sets[p] >= log.cascade[p] - 1e-12).all()
        assert (log.item[p] >= log.sets[p] - 1e-12).all()
        np.testing.assert_allclose(log.marginal[p].sum(axis=2), 1.0)
        here = np.take_along_axis(log.marginal[p], log.action[:, :, None], axis=2)[:, :, 0]
        np.testing.assert_allclose(here, log.item[p])
        np.testing.assert_allclose(np.diagonal(log.places[p], axis1=1, axis2=2), log.item[p])
    chance = np.take_along_axis(log.given_above, log.action[:, :, None], axis=2)[:, :, 0]
    np.testing.assert_allclose(np.cumprod(chance, axis=1), log.cascade[1])
    diagonal = np.diagonal(log.second_moment, axis1=1, axis2=2)[log.context]
    np.testing.assert_allclose(diagonal.reshape(log.marginal[0].shape), log.marginal[0])
    # By definition: the mean, over the logged pages, of rewards weighed by the ratio of whole pages.
    w = log.slate[1] / log.slate[0]
    assert log.truth == pytest.approx(float((w * log.reward.sum(axis=1)).mean()), rel=1e-12)


def test_users_differ() -> None:
    rewards = [exact_slates(users).reward for users in USERS]
    for users, reward in zip(USERS, rewards, strict=True):
        log = exact_slates(users)
        above = {
            (c, k, *page[: k + 1]): paid[k]
            for c, page, paid in zip(log.context.tolist(), log.action.tolist(), reward, strict=True)
            for k in range(3)
        }
        same = all(
            paid[k] == above[(c, k, *page[: k + 1])]
            for c, page, paid in zip(log.context.tolist(), log.action.tolist(), reward, strict=True)
            for k in range(3)
        )
        assert same == (users != "whole slate"), users
