from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from behavior.errors import InputError
from encoders.__main__ import main
from encoders.commands.finetune_federated import _central
from encoders.privacy import (
    FederatedConfig,
    PrivacyConfig,
    Shop,
    UserPairs,
    check_flower,
    new_adapter,
    promise,
    train_adapter,
    update_adapter,
)
from encoders.privacy.federated import get_weights
from encoders.relevance import RelevanceModel

needs_opacus = pytest.mark.skipif(
    importlib.util.find_spec("opacus") is None, reason="the extra `privacy` is not installed"
)
FLOWER = os.environ.get("FLOWER_PYTHON", "")
needs_flower = pytest.mark.skipif(
    not FLOWER, reason="FLOWER_PYTHON names no environment with flwr[simulation]"
)
LOCAL = PrivacyConfig(epsilon=None, width=4, epochs=1.0, users_per_step=20, n_contrast=8)


def people(n_users: int, seed: int) -> tuple[UserPairs, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    item = rng.normal(size=(40, 8)).astype(np.float32)
    item /= np.linalg.norm(item, axis=1, keepdims=True)
    click = (rng.random((n_users, 5)) < 0.3).astype(np.float32)
    pairs = UserPairs(
        query=rng.integers(0, 6, (n_users, 5)),
        item=rng.integers(0, 40, (n_users, 5)),
        position=rng.integers(0, 4, (n_users, 5)),
        click=click,
        purchase=np.zeros_like(click),
        known=np.ones_like(click),
    )
    return pairs, item, item[:6].copy()


def python_that(tmp_path: Path, body: str) -> Path:
    """An interpreter's stand-in."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@needs_opacus
def test_the_promise_covers_all_rounds() -> None:
    """Three rounds under one promise add more noise each than one would, and spend no more together."""
    from opacus.accountants import RDPAccountant

    config = replace(LOCAL, epsilon=3.0)
    one, three = promise(200, config), promise(200, config, runs=3)
    assert three.steps == 3 * one.steps
    assert three.noise_multiplier > one.noise_multiplier
    assert 2.5 < three.epsilon <= 3.0
    accountant = RDPAccountant()
    for _ in range(3 * one.steps):
        accountant.step(noise_multiplier=three.noise_multiplier, sample_rate=three.sample_rate)
    assert accountant.get_epsilon(three.delta) == pytest.approx(three.epsilon)
    pairs, item, query = people(200, 0)
    learned = train_adapter(new_adapter(item, 4, config), pairs, item, query, config, runs=3, progress=False)
    assert learned == three


@needs_opacus
def test_no_two_shops_or_rounds_draw_the_same_noise() -> None:
    """Shops with the same people would else send the same weights, and their difference would be free of noise."""
    pairs, item, query = people(30, 0)
    config = FederatedConfig(rounds=2, local=replace(LOCAL, epsilon=3.0))
    found = []
    for shop_number, round_number in ((0, 1), (1, 1), (0, 2), (0, 1)):
        adapter = new_adapter(item, 4, config.local)
        update_adapter(
            adapter,
            Shop(pairs=pairs, query=query),
            item,
            config,
            round_number=round_number,
            shop_number=shop_number,
        )
        found.append(get_weights(adapter)[0])
    np.testing.assert_array_equal(found[0], found[3])
    assert np.abs(found[0] - found[1]).max() > 1e-5
    assert np.abs(found[0] - found[2]).max() > 1e-5


def test_in_one_place_everybody_keeps_their_own_queries() -> None:
    """Two shops with query tables of their own, and one with both tables, one after the other."""
    pairs, item, query = people(40, 1)
    other = np.ascontiguousarray(query[::-1])
    config = FederatedConfig(rounds=2, local=LOCAL)
    first, second = pairs.take(np.arange(20)), pairs.take(np.arange(20, 40))
    shops = [Shop(pairs=first, query=query), Shop(pairs=second, query=other)]
    found = _central(shops, item, 4, config, progress=False)
    alike = replace(second, query=5 - second.query)  # the same texts, numbered as in the first shop
    together = [Shop(pairs=first, query=query), Shop(pairs=alike, query=query)]
    expected = _central(together, item, 4, config, progress=False)
    for ours, theirs in zip(get_weights(found), get_weights(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_an_environment_that_will_not_do_is_named_before_anything_is_learned(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be run") as told:
        check_flower(tmp_path / "nothing")
    assert "flower/bin/pip install" in str(told.value)
    with pytest.raises(InputError, match="lacks flwr, ray") as told:
        check_flower(python_that(tmp_path, "echo flwr ray"))
    assert "flower/bin/pip install" in str(told.value)
    with pytest.raises(InputError, match="with an epsilon, opacus as well"):
        check_flower(python_that(tmp_path, "echo opacus"), private=True)
    with pytest.raises(InputError, match="broken"):
        check_flower(python_that(tmp_path, "echo broken >&2; exit 1"))
    check_flower(python_that(tmp_path, "true"))
    # The question itself is one that a Python understands: one without flwr says so.
    if importlib.util.find_spec("flwr") is None:
        with pytest.raises(InputError, match="lacks flwr"):
            check_flower(sys.executable)


def test_what_cannot_be_federated_is_named(log, tmp_path: Path, capsys) -> None:
    python = python_that(tmp_path, "true")
    out = ["--out", str(tmp_path / "out"), "--encoder", "hash"]
    flower = ["--flower", str(python)]
    for options, words in (
        ([], "whose logs"),
        (["--shops", "2", "--shop", "a.csv", "--shop", "b.csv"], "whose logs"),
        (["--shops", "1"], "nobody to average with"),
        (["--shop", log[1]], "nobody to average with"),
        (["--shops", "2", "--rounds", "0"], "rounds must be"),
    ):
        assert main(["finetune-federated", *out, *flower, *options, *log]) == 2
        assert words in capsys.readouterr().err
    assert main(["finetune-federated", *out, "--shops", "2", *log]) == 2
    told = capsys.readouterr().err
    assert "--flower" in told
    assert "pip install 'flwr[simulation]' torch safetensors pandas pyarrow tqdm" in told
    shops = ["--shop", log[1], "--shop", other_log(log, tmp_path)]
    assert main(["finetune-federated", *out, *flower, *shops, "--quiet"]) == 2
    assert "--catalog" in capsys.readouterr().err
    assert main(["finetune-federated", *out, *flower, "--shops", "5000", *log]) == 2
    assert "5000 shops for 97 people" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def other_log(log: list[str], folder: Path) -> str:
    """The last sessions of the log, half of the items and queries, as a log of another shop."""
    frame = pd.read_csv(log[1], keep_default_na=False)
    frame = frame[frame["session_id"].str[1:].astype(int) >= 900]
    frame = frame[frame["query"].str.contains("red|blue|gizmo")]
    path = folder / "other.csv"
    frame.to_csv(path, index=False)
    return str(path)


@pytest.mark.slow
@needs_flower
@needs_opacus
def test_shops_learn_together(log, tmp_path: Path, capsys) -> None:
    shops = ["--shop", log[1], "--shop", other_log(log, tmp_path)]
    options = ["--flower", FLOWER, "--rounds", "2", "--epochs", "2", "--width", "8"]
    out = tmp_path / "out"
    given = [*shops, *options, "--epsilon", "5", "--encoder", "hash", "--out", str(out), *log[2:]]
    assert main(["finetune-federated", *given]) == 0
    found = json.loads((out / "federated.json").read_text())
    assert [shop["name"] for shop in found["shops"]] == ["log", "other"]
    assert all(4.0 < shop["epsilon"] <= 5.0 for shop in found["shops"])
    assert [(row["model"], row["name"]) for row in found["measured"]] == [
        (way, name)
        for name in ("log", "other")
        for way in ("shops that keep their logs", "all logs in one place")
    ]
    assert RelevanceModel.load(out).known.texts == ()
    assert main(["finetune-federated", *given]) == 2
    assert "there already" in capsys.readouterr().err


@pytest.mark.slow
@needs_flower
def test_a_simulation_that_fails_says_why(tmp_path: Path) -> None:
    done = subprocess.run(
        [FLOWER, "-m", "encoders.privacy.flower_app", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.returncode != 0
    assert "federated.json" in done.stderr
