"""The benchmarks of agreement and of exploits: what they count, and the tables they write."""

from __future__ import annotations

import pytest

from benchmarks.agreement import FIGURES, PLAIN, REGIMES, coverage, table_of_intervals, table_of_policies
from benchmarks.common import case, result
from benchmarks.exploits import tables_of


def test_coverage_of_a_perfect_simulator() -> None:
    """The intervals hold the truth where a plain bootstrap, which adds the noise again, mostly does not."""
    found = coverage(1.0, 0.3, 30, n_draws=200)
    assert set(found) == {*FIGURES.values(), PLAIN}
    assert found["Kendall"] >= 0.9
    assert found[PLAIN] < 0.5


def test_tables_of_agreement() -> None:
    cases = [
        case(f"correlation {correlation:g}, error {error:g}: {name}", 0.5 + error / 10, "share", 0.95)
        for correlation, error in REGIMES
        for name in (*FIGURES.values(), PLAIN)
    ]
    cases += [
        case(f"in the true demo store: {name}", score, "score per session")
        for name, score in (("a", 5.0), ("b", 1.0))
    ]
    found = result("agreement", cases)
    rows = table_of_intervals(found).splitlines()
    assert len(rows) == 2 + len(REGIMES)
    assert rows[2].startswith("| 1 | 0.05 | 0.51 |")
    assert table_of_policies(found).splitlines()[2:] == ["| a | 5.00 |", "| b | 1.00 |"]


def test_tables_of_exploits() -> None:
    tables = tables_of(
        {
            "tables": {
                "values": [("policy", "pbm"), ("random", "1.0 ±0.1")],
                "gaps": [("policy", "gap"), ("ppo", "0.5")],
            }
        }
    )
    assert tables["exploits-values"] == "| policy | pbm |\n|---|---:|\n| random | 1.0 ±0.1 |"
    assert tables["exploits-gaps"].endswith("| ppo | 0.5 |")


@pytest.mark.slow
def test_the_matrix_of_a_tiny_store() -> None:
    from benchmarks.exploits import ENSEMBLE, TRUE, ExploitOptions, measure

    found = measure(ExploitOptions(quick=True))
    assert found["matrix"]["worlds"] == ["pbm", "cascade", ENSEMBLE, TRUE]
    homes = {cell["policy"]: cell["home"] for cell in found["matrix"]["cells"]}
    assert homes["linucb of pbm"] == "pbm"
    assert homes["random"] is None
