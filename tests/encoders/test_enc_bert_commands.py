"""The commands with a BERT, of two layers and random weights: what they write, and what they refuse."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from encoders.__main__ import main
from encoders.tuning.config import TuningConfig
from encoders.tuning.examples import Examples

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("accelerate") is None, reason="the extra `bert` is not installed"
)

_FEW = ["--tuning.max-pairs", "60", "--tuning.items-per-query", "4", "--tuning.queries-per-batch", "3"]
_QUICK = ["--heads.steps", "3", "--known.steps", "3"]


@pytest.fixture(scope="module")
def tuned(log, tiny_bert: Path, tmp_path_factory) -> Path:
    """A model whose BERT was trained on a few pairs, some queries kept back to say when to stop."""
    folder = tmp_path_factory.mktemp("tuned") / "model"
    options = ["--encoder", str(tiny_bert), "--mode", "full", *_FEW, *_QUICK, "--tuning.stop-early", "0.3"]
    assert main(["finetune", "--out", str(folder), *options, *log]) == 0
    return folder


def test_a_bert_is_trained_and_distilled(tuned: Path, log, tmp_path: Path, capsys) -> None:
    report = json.loads((tuned / "report.json").read_text())
    assert report["n_queries"] > 0
    assert main(["distil", "--model", str(tuned), "--out", str(tmp_path / "small"), *log]) == 0
    assert "pupil" in capsys.readouterr().out
    found = json.loads((tmp_path / "small" / "distilled.json").read_text())
    assert 0.0 < found["click AUC"]["pupil"] <= 1.0
    # The small model takes the large one's place, spelling and all.
    assert main(["export", "--model", str(tmp_path / "small"), "--out", str(tmp_path / "tables"), *log]) == 0


def test_a_cross_encoder_is_reported_and_is_no_relevance_model(
    log, tiny_bert, tmp_path: Path, capsys
) -> None:
    folder = tmp_path / "cross"
    options = ["--encoder", str(tiny_bert), "--kind", "cross", *_FEW]
    assert main(["finetune", "--out", str(folder), *options, *log]) == 0
    report = json.loads((folder / "report.json").read_text())
    assert report["n_queries"] > 0
    assert report["n_pairs"] > 0
    assert report["n_train_pairs"] > 0
    assert f"{report['n_queries']} held-out queries" in capsys.readouterr().out
    assert main(["evaluate", "--model", str(folder), *log]) == 2
    assert "holds a cross-encoder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "named"),
    [(["--tuning.way", "lora"], "--tuning.way"), (["--checkpoints", "run"], "--checkpoints")],
)
def test_options_that_would_do_nothing_are_refused(log, tmp_path: Path, capsys, options, named: str) -> None:
    assert main(["finetune", "--encoder", "hash", "--out", str(tmp_path / "m"), *options, *log]) == 2
    told = capsys.readouterr().err
    assert named in told
    assert "--mode full" in told
    assert not (tmp_path / "m").exists()


def test_queries_kept_back_say_when_to_stop(shop) -> None:
    from encoders.tuning.from_log import kept_back

    query, item = np.repeat(np.arange(1, 27), 6), np.tile(np.arange(6), 26)
    examples = Examples.from_ratings(shop.steps.queries, shop.catalog.titles, query, item, (query + item) % 3)
    learned, back = kept_back(examples, TuningConfig(stop_early=0.3))
    assert back is not None
    one, other = set(learned.pairs.query.tolist()), set(back.pairs.query.tolist())
    assert one | other == set(range(1, 27))
    assert not one & other
    assert 3 <= len(other) <= 13  # of 26, each with a chance of 0.3
    assert kept_back(examples, TuningConfig())[1] is None
    silent = Examples.from_ratings(
        shop.steps.queries, shop.catalog.titles, query, item, np.isin(query, list(one)) * 1.0
    )
    with pytest.warns(UserWarning, match="nothing was clicked"):
        assert kept_back(silent, TuningConfig(stop_early=0.3)) == (silent, None)


def test_broken_characters_are_no_obstacle_to_training(tiny_bert: Path) -> None:
    """Half of a surrogate pair, as broken files have."""
    from encoders.bert import BertEncoder
    from encoders.tuning.cross_encoder import CrossEncoder

    encoder = BertEncoder(tiny_bert, device="cpu")
    assert encoder.tokenize(["\ud800 lamp", "lamp"])["input_ids"].shape[0] == 2
    assert CrossEncoder(encoder).score(["\ud800"], ["lamp \udfff"], progress=False).shape == (1, 2)
