"""Every simulator of the project keeps the simulator contract."""

from __future__ import annotations

import numpy as np
import pytest

from envs.toy import toy_world
from simulators.contract import check_simulator
from simulators.example import example_features, example_log, example_simulator
from simulators.fitting.fit import fit_simulator
from store.shop import Store


def test_toy_user() -> None:
    assert len(check_simulator(toy_world(n_items=200).simulator)) == 10


@pytest.mark.parametrize("kind", ["pbm", "cascade"])
def test_five_parts(kind: str) -> None:
    assert len(check_simulator(example_simulator(kind))) == 10


@pytest.mark.parametrize("kind", ["pbm", "cascade"])
def test_fitted_to_a_log(kind: str) -> None:
    features = example_features()
    log = example_log(kind, n_sessions=600)
    late = log.session >= np.int64(log.session.max() * 0.8)
    fitted = fit_simulator(kind, log.take(~late), log.take(late), features, progress=False)
    assert len(check_simulator(fitted)) == 10


def test_true_user_of_the_store(store: Store) -> None:
    assert len(check_simulator(store.true_simulator)) == 10
