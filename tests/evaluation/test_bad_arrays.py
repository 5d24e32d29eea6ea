"""Arrays that no estimator can use: each is met by a message that names the argument and what to do."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from behavior.errors import InputError
from evaluation import estimators as est
from evaluation.estimators.many_items import cluster_weights

N, K, A = 12, 3, 4
RNG = np.random.default_rng(0)
REWARD = RNG.binomial(1, 0.4, (N, K)).astype(float)
ITEM = RNG.uniform(0.2, 0.9, (N, K))
CASCADE = np.cumprod(ITEM, axis=1)
JUDGED = np.cumprod(RNG.uniform(0.2, 0.9, (N, K)), axis=1)
ACTION = np.stack([RNG.permutation(A)[:K] for _ in range(N)])
TABLE = np.full((N, K, A), 1 / A)
SESSIONS: dict[str, Any] = {"session": np.arange(N) // 2, "step": np.arange(N) % 2}

CALLS: dict[str, partial[est.Estimate]] = {
    "sips": partial(est.sips, reward=REWARD, logging=CASCADE[:, -1], evaluation=JUDGED[:, -1]),
    "iips": partial(est.iips, reward=REWARD, logging=ITEM, evaluation=ITEM),
    "snrips": partial(est.snrips, reward=REWARD, logging=CASCADE, evaluation=JUDGED),
    "sncm_ips": partial(est.sncm_ips, reward=REWARD, logging=CASCADE, evaluation=JUDGED),
    "latent_ips": partial(est.latent_ips, reward=REWARD, logging=CASCADE[:, -1], evaluation=JUDGED[:, -1]),
    "pseudo_inverse": partial(
        est.pseudo_inverse_independent, reward=REWARD, logging=ITEM, evaluation=CASCADE
    ),
    "pdis": partial(est.pdis, reward=REWARD, logging=CASCADE, evaluation=JUDGED, **SESSIONS),
    "wpdis": partial(est.wpdis, reward=REWARD, logging=CASCADE, evaluation=JUDGED, **SESSIONS),
    "adaptive_ips": partial(
        est.adaptive_ips,
        reward=REWARD,
        logging=[CASCADE],
        evaluation=[JUDGED],
        behaviour=np.zeros(N, np.int64),
    ),
    "cascade_dr": partial(
        est.cascade_dr,
        reward=REWARD,
        logging=CASCADE,
        evaluation=np.cumprod(np.full((N, K), 1 / A), axis=1),
        action=ACTION,
        evaluation_dist=TABLE,
        q_hat=TABLE,
    ),
    "slate_dm": partial(est.slate_dm, evaluation=TABLE, q_hat=TABLE),
}


def ragged(array: np.ndarray) -> list[Any]:
    """The same rows, the last one shorter: as a list of pages of different lengths would be."""
    rows: list[Any] = array.tolist()
    rows[-1] = rows[-1][:-1]
    return rows


@pytest.mark.parametrize("name", CALLS)
def test_the_arrays_are_good_ones(name: str) -> None:
    assert np.isfinite(CALLS[name]().value)


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        (name, argument)
        for name, call in CALLS.items()
        for argument, value in call.keywords.items()
        if isinstance(value, np.ndarray) and value.ndim > 1
    ],
)
@pytest.mark.parametrize("how", ["ragged", "text"])
def test_ragged_rows_and_text_are_named(name: str, argument: str, how: str) -> None:
    good = CALLS[name].keywords[argument]
    bad = ragged(good) if how == "ragged" else np.full(good.shape, "many", object)
    with pytest.raises(InputError, match=argument) as raised:
        CALLS[name](**{argument: bad})
    assert "Pass numbers; pad short pages" in str(raised.value)


@pytest.mark.parametrize("name", ["sips", "iips", "snrips", "sncm_ips", "latent_ips", "pseudo_inverse"])
@pytest.mark.filterwarnings("error")
def test_a_propensity_next_to_nothing_makes_no_infinite_figure(name: str) -> None:
    logging = CALLS[name].keywords["logging"].copy()
    logging[5] = 1e-320
    with pytest.raises(InputError, match="beyond the range of numbers") as raised:
        CALLS[name](logging=logging)
    assert "row 5" in str(raised.value)


@pytest.mark.parametrize("name", ["pdis", "wpdis"])
@pytest.mark.filterwarnings("error")
def test_nor_one_of_a_session(name: str) -> None:
    logging = CASCADE.copy()
    logging[5] = 1e-320
    with pytest.raises(InputError, match="beyond the range of numbers"):
        CALLS[name](logging=logging)


@pytest.mark.parametrize("name", ["sips", "iips", "latent_ips", "pseudo_inverse"])
def test_slates_without_positions(name: str) -> None:
    with pytest.raises(InputError, match=r"without positions|different shapes"):
        CALLS[name](reward=np.zeros((N, 0)))


def test_clusters_without_a_label() -> None:
    with pytest.raises(InputError, match="a label for each"):
        cluster_weights(
            ACTION[:, 0],
            logging=TABLE[:, 0],
            evaluation=TABLE[:, 0],
            clusters=np.array(["a", None, "b", "b"], object),
        )
