"""The same log prepared on a Ray cluster of two nodes gives the same files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from behavior import InputError
from behavior.big import BigLogConfig, RayWorkers, prepare_log

pytest.importorskip("duckdb", reason="big logs need the extra `big`")
ray = pytest.importorskip("ray", reason="the cluster needs the extra `ray`")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own

CONFIG = BigLogConfig(rows_per_part=2_000, pages_per_chunk=300)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    nodes = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False},
    )
    nodes.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    nodes.wait_for_nodes()
    root = str(Path(__file__).resolve().parents[2])
    ray.init(address=nodes.address, runtime_env={"env_vars": {"PYTHONPATH": root}}, logging_level="error")
    yield nodes
    ray.shutdown()
    nodes.shutdown()


def write_log(path: Path) -> None:
    """Ten thousand rows: sessions of two pages that run side by side."""
    n_pages, size = 2_000, 5
    page, position = (a.ravel() for a in np.meshgrid(range(n_pages), range(size), indexing="ij"))
    rng = np.random.default_rng(3)
    pd.DataFrame(
        {
            "session_id": page // 20 * 10 + page % 10,
            "user_id": [f"u{p % 37}" for p in page],
            "step": page % 20 // 10,
            "timestamp": 1_767_225_600 + page,
            "query": [f"q{p * 7919 % 53}" for p in page],
            "position": position,
            "item_id": [f"i{(p * 31 + k) % 97}" for p, k in zip(page, position, strict=True)],
            "click": (rng.random(len(page)) < 0.2).astype(int),
        }
    ).assign(user_id=lambda f: "u" + (f["session_id"] % 37).astype(str)).to_parquet(path, index=False)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.suffix in (".npy", ".json")
    }


def node_of(wait: float, number: int) -> str:
    import time

    time.sleep(wait)
    return str(ray.get_runtime_context().get_node_id())


def test_two_nodes_give_the_files_of_one_process(tmp_path: Path, cluster: Any) -> None:
    assert sum(node["Alive"] for node in ray.nodes()) == 2
    path = tmp_path / "log.parquet"
    write_log(path)
    alone = prepare_log(path, tmp_path / "alone", config=CONFIG, progress=False)
    spread = prepare_log(path, tmp_path / "spread", config=CONFIG, workers=RayWorkers(), progress=False)
    assert alone.train.n_chunks > 3
    here, there = files_of(tmp_path / "alone"), files_of(tmp_path / "spread")
    assert sorted(here) == sorted(there)
    assert here == there
    assert spread.queries == alone.queries
    assert spread.catalog.item_ids == alone.catalog.item_ids


def test_both_nodes_work(cluster: Any) -> None:
    nodes = list(RayWorkers().map(node_of, 0.5, range(6)))
    assert len(nodes) == 6
    assert len(set(nodes)) == 2


def test_faults_come_back_from_the_cluster(tmp_path: Path, cluster: Any) -> None:
    path = tmp_path / "log.parquet"
    write_log(path)
    frame = pd.read_parquet(path)
    frame.loc[[11, 9_000], "click"] = 7
    frame.to_parquet(path, index=False)
    told = []
    for workers in (None, RayWorkers()):
        with pytest.raises(InputError) as raised:
            prepare_log(path, tmp_path / "out", config=CONFIG, workers=workers, progress=False)
        told.append(str(raised.value))
    assert told[0] == told[1]
    assert "row 12, column 'click': found 7" in told[0]
    assert "row 9,001" in told[0]
