"""Fine-tuning under a real `torchrun` or `accelerate launch`: two processes on this machine learn what one does."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("accelerate") is None, reason="the extra `bert` is not installed"
)

_SCRIPT = """
import os, sys
from pathlib import Path
import numpy as np
from encoders.bert import BertEncoder
from encoders.tuning.config import TuningConfig
from encoders.tuning.examples import Examples

folder, kind, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
early = kind == "early"
texts = np.load(folder / "texts.npz")
examples = Examples.from_ratings(
    texts["queries"].tolist(), texts["items"].tolist(), texts["query"], texts["item"], texts["rating"]
)
config = TuningConfig(
    max_pairs=90, items_per_query=5, queries_per_batch=3, learning_rate=1e-3, dropout=0.0, keep=0.0, accumulate=2
)
encoder = BertEncoder(folder / "bert", device="cpu")
if kind != "cross":
    from encoders.tuning.bi_encoder import tune_bi_encoder
    # The very queries, but what was bad is good: the more is learned, the worse it looks.
    against = Examples.from_ratings(
        texts["queries"].tolist(), texts["items"].tolist(), texts["query"], texts["item"], 4.0 - texts["rating"]
    )
    tuned = tune_bi_encoder(encoder, examples, config, valid=against if early else None, progress=False)
    if early:  # the weights at the end are not the best: every process has to go back
        found = tuned.history.held_out_loss
        assert min(found, key=lambda entry: entry[1])[0] < found[-1][0], found
    model, extra = tuned.encoder.model, [tuned.heads.click_weight, tuned.heads.bias]
else:
    from encoders.tuning.cross_encoder import tune_cross_encoder
    cross, _ = tune_cross_encoder(encoder, examples, config, progress=False)
    model, extra = cross.encoder.model, [cross.weight, cross.bias]
weights = np.concatenate([np.ravel(x) for x in [*(p.detach().numpy() for p in model.parameters()), *extra]])
world = int(os.environ.get("WORLD_SIZE", "1"))
if world > 1:
    import torch.distributed
    assert torch.distributed.get_world_size() == 2
    torch.distributed.destroy_process_group()
np.save(out / f"{kind}-{world}-{os.environ.get('RANK', '0')}.npy", weights)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "launcher"),
    [("bi", "torchrun"), ("cross", "torchrun"), ("early", "torchrun"), ("bi", "accelerate")],
)
def test_two_processes_learn_what_one_does(
    shop, tiny_bert: Path, tmp_path: Path, kind: str, launcher: str
) -> None:
    (tmp_path / "bert").symlink_to(tiny_bert)
    (tmp_path / "run.py").write_text(_SCRIPT, encoding="utf-8")
    rng = np.random.default_rng(0)
    query = np.repeat(np.arange(1, 25), 12)
    item = np.concatenate([rng.choice(120, 12, replace=False) for _ in range(24)])
    np.savez(
        tmp_path / "texts.npz",
        queries=np.array(shop.steps.queries),
        items=np.array(shop.catalog.titles),
        query=query,
        item=item,
        rating=3.0 * (shop.truth[query, item] > 0) + rng.integers(0, 2, query.size),
    )
    script = [str(tmp_path / "run.py"), str(tmp_path), kind, str(tmp_path)]
    if launcher == "torchrun":
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    else:
        # So named, it starts several processes without a GPU too; `--cpu` would start one.
        launch = [
            "-m",
            "accelerate.commands.launch",
            "--multi_gpu",
            "--num_processes",
            "2",
            "--main_process_port",
            "0",
        ]
    for command in ([sys.executable, *script], [sys.executable, *launch, *script]):
        done = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
    alone, first, second = (np.load(tmp_path / f"{kind}-{name}.npy") for name in ("1-0", "2-0", "2-1"))
    assert np.array_equal(first, second)
    assert np.abs(first - alone).max() < 1e-4


def test_one_process_in_place_of_several_is_told(monkeypatch) -> None:
    """`accelerate launch --cpu --num_processes 2` starts one process, with the address of several."""
    from encoders.tuning.processes import warn_if_alone

    for name in [name for name in os.environ if name.endswith("RANK")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    warn_if_alone()  # one was asked for
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.warns(UserWarning, match="started one"):
        warn_if_alone()
    monkeypatch.setenv("RANK", "0")
    warn_if_alone()
