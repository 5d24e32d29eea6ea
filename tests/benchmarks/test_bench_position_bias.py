from __future__ import annotations

import numpy as np
import pytest

from benchmarks import position_bias
from benchmarks.position_bias import WAYS, error_of, measure_log, summarise, table_of


def _log(errors, *, inside=0, intervals=0):
    return {
        "errors": {way: None if errors is None else np.array(errors) for way in WAYS},
        "inside": inside,
        "intervals": intervals,
        "settled": 1.0,
    }


def test_errors_are_relative_to_the_first_position():
    np.testing.assert_allclose(
        error_of(np.array([0.5, 0.2, 0.1]), np.array([1.0, 0.5, 0.1])), [0.4 - 0.5, 0.2 - 0.1]
    )
    assert error_of(None, np.ones(3)) is None


def test_root_mean_square_by_hand():
    found = summarise([_log([0.3, -0.4], inside=1, intervals=2), _log([0.0, 0.0], inside=2, intervals=2)])
    one = found["ways"]["joint fit"]
    assert one["rmse"] == pytest.approx(0.25)  # root of (0.09 + 0.16) / 4
    assert one["bias"] == pytest.approx(-0.025)
    assert one["interval"][0] == 0.0  # both draws are the second log
    assert one["interval"][1] == pytest.approx(np.sqrt(0.125))
    assert found["coverage"] == 0.75
    nothing = summarise([_log(None), _log([0.1, 0.1])])
    assert nothing["ways"]["EM, line"]["rmse"] is None
    assert nothing["coverage"] is None


def test_one_log_of_known_truth_and_its_table():
    """A randomised log: swaps are near the truth; one ranker: there are none."""
    moved = measure_log("pbm", 0.0, "random", n_pages=1_500, seed=0, n_bootstrap=5)
    fixed = measure_log("pbm", 0.0, "one ranker", n_pages=1_500, seed=0, n_bootstrap=5)
    assert np.abs(moved["errors"]["swaps, pooled"]).max() < 0.15
    assert fixed["errors"]["swaps, pooled"] is None
    assert (moved["settled"], fixed["settled"]) == (1.0, 0.0)
    rows = [{"users": "these", "log": "that", **summarise([found])} for found in (moved, fixed)]
    text = table_of({"settings": {"worlds": 1, "pages": 1_500}, "versions": {"numpy": "2"}, "worlds": rows})
    assert text.count("no swaps") == 2
    assert len(text.splitlines()) == 6


def test_the_document_has_the_table():
    assert "<!-- table: position-bias -->" in position_bias._DOCUMENT.read_text(encoding="utf-8")
