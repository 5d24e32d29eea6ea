"""Fit click models with CLAX (`clax-models`) and write down what they foretell; run in an environment of its own.

`python clax_fit.py JOBS.json`: a list of {"data": npz, "model": name, "out": npz}. The data holds, for each of
train, valid and test, `<part>_pair` (M, K) int, 0 where the pair was not seen in training, and `<part>_click`
(M, K); and `n_pairs`. Written are the chances of a click on the test pages, log-probabilities (M, K),
`marginal` and `given` the clicks above.

The package is used as it comes: its models with their default parameters (a number for each query and item, and
one for all), its trainer, AdamW, early stopping on the validation part. Three learning rates are tried, and the
fit that ends with the lowest validation loss is kept. Its trainer imports torch for a type annotation alone; an
empty stand-in of that name saves two gigabytes.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

RATES = (0.003, 0.01, 0.03)
BATCH, EPOCHS, PATIENCE = 256, 100, 2


def _stand_in_for_torch() -> None:
    if importlib.util.find_spec("torch") is not None:
        return
    for name in ("torch", "torch.utils", "torch.utils.data"):
        sys.modules[name] = types.ModuleType(name)
    data = sys.modules["torch.utils.data"]
    data.DataLoader = data.Dataset = object  # type: ignore[attr-defined]


def _build(name: str, n_pairs: int, n_positions: int) -> Any:
    models = importlib.import_module("clax.models")
    pairs = {
        "query_doc_pairs": n_pairs,
        "rngs": importlib.import_module("flax.nnx").Rngs(42),
    }
    if name in ("dbn", "sdbn"):
        return models.DynamicBayesianNetwork(fix_continuation=name == "sdbn", **pairs)
    if name in ("pbm", "ubm", "dcm"):
        pairs["positions"] = n_positions
    kinds = {
        "pbm": "PositionBasedModel",
        "ubm": "UserBrowsingModel",
        "cm": "CascadeModel",
        "dcm": "DependentClickModel",
        "ccm": "ClickChainModel",
    }
    return getattr(models, kinds[name])(**pairs)


def _batch(pair: Any, click: Any) -> dict[str, Any]:
    positions = np.broadcast_to(np.arange(1, pair.shape[1] + 1), pair.shape)
    return {
        "query_doc_ids": pair.astype(np.int32),
        "positions": positions.astype(np.int32),
        "clicks": click.astype(np.int32),
        "mask": np.ones(pair.shape, bool),
    }


class _Shuffled:
    """Batches in a new order each time."""

    def __init__(self, pair: Any, click: Any) -> None:
        self.pair, self.click, self.size = pair, click, min(BATCH, len(pair))
        self.rng = np.random.default_rng(1)

    def __len__(self) -> int:
        return len(self.pair) // self.size

    def __iter__(self) -> Iterator[dict[str, Any]]:
        order = self.rng.permutation(len(self.pair))[: len(self) * self.size]
        for rows in order.reshape(len(self), -1):
            yield _batch(self.pair[rows], self.click[rows])


def fit(job: dict[str, str]) -> None:
    """One model on one log."""
    clax, optax = (importlib.import_module(name) for name in ("clax", "optax"))
    stopping = importlib.import_module("flax.training.early_stopping").EarlyStopping
    with np.load(job["data"]) as file:
        arrays = {name: file[name] for name in file.files}
    valid = _batch(arrays["valid_pair"], arrays["valid_click"])
    best, lowest = None, np.inf
    for rate in RATES:
        model = _build(job["model"], int(arrays["n_pairs"]), arrays["train_pair"].shape[1])
        trainer = clax.Trainer(
            optimizer=optax.adamw(rate),
            epochs=EPOCHS,
            early_stopping=stopping(patience=PATIENCE, min_delta=1e-5),
        )
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            table = trainer.train(model, _Shuffled(arrays["train_pair"], arrays["train_click"]), [valid])
        model.eval()
        loss = float(model.compute_loss(valid).mean())
        print(
            f"{job['model']}, rate {rate}: {len(table)} epochs, validation loss {loss:.6f}", file=sys.stderr
        )
        if loss < lowest:
            best, lowest = model, loss
    assert best is not None
    test = _batch(arrays["test_pair"], arrays["test_click"])
    np.savez(
        job["out"],
        marginal=np.asarray(best.predict_clicks(test), np.float64),
        given=np.asarray(best.predict_conditional_clicks(test), np.float64),
    )


def main() -> None:
    """All jobs."""
    # One core, as ours.
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    _stand_in_for_torch()
    for job in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        fit(job)


if __name__ == "__main__":
    main()
