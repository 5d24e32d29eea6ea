"""Published data, as published, through the main command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.main import main

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
OPEN_BANDIT = SHARED / "obd" / "random" / "all"
ICECAT = SHARED / "chorus_icecat"


@pytest.mark.skipif(not OPEN_BANDIT.is_dir(), reason="the Open Bandit sample is not at hand")
def test_open_bandit_ends_with_an_estimate_from_the_real_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--preset", "smoke", "--compare", "pbm", "cascade", "--quiet"]
    where = ["--data-path", str(OPEN_BANDIT), "--logs", str(tmp_path), "--name", "obd"]
    assert main(["--data", "open-bandit", *where, *options]) == 0
    shown = capsys.readouterr().out
    assert "10,000 pages, 38 clicks" in shown
    assert "cascade refused" in shown
    table = json.loads((tmp_path / "obd" / "table.json").read_text(encoding="utf-8"))
    rows = {row["policy"]: row for row in table["rows"]}
    assert table["world"] == "the fitted simulator"
    # The log was drawn uniformly, so of the uniform policy it says its own click rate: 3 clicks of 1,500 held-out rows.
    assert rows["random"]["off_policy_estimator"] == "SNIPS"
    assert rows["random"]["off_policy"] == pytest.approx(3 / 1500, abs=1e-9)
    assert rows["random"]["off_policy_low"] <= 0.002 <= rows["random"]["off_policy_high"]
    report = (tmp_path / "obd" / "report.html").read_text(encoding="utf-8")
    assert "carries 28 clicks" in report
    assert "cannot be fitted to single impressions" in report or "cascade was not fitted" in report


@pytest.mark.slow
@pytest.mark.skipif(not ICECAT.is_dir(), reason="the Icecat products are not at hand")
def test_real_products_and_judged_queries(tmp_path: Path) -> None:
    where = ["--data-path", str(ICECAT), "--logs", str(tmp_path), "--name", "icecat"]
    assert main(["--data", "icecat", *where, "--preset", "smoke", "--store-size", "default", "--quiet"]) == 0
    table = json.loads((tmp_path / "icecat" / "table.json").read_text(encoding="utf-8"))
    rows = {row["policy"]: row for row in table["rows"]}
    assert table["world"] == "the true store"
    assert rows["planning"]["score"] > rows["random"]["score"]
    assert rows["myopic"]["ndcg"] > rows["random"]["ndcg"]
