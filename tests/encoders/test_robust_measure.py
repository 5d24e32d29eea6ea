from __future__ import annotations

import json

import numpy as np
import pytest

from encoders.pairs import count_pairs, examination_by_position
from encoders.relevance import Heads
from encoders.robustness import RobustnessConfig, measure_robustness
from encoders.text import HashEncoder, catalog_texts


@pytest.fixture(scope="module")
def report(shop):
    encoder = HashEncoder()
    heads = Heads.plain(encoder.width, click_scale=10.0, purchase_scale=1.0, bias=(-2.0, -2.0))
    return measure_robustness(
        encoder,
        heads,
        catalog_texts(shop.catalog),
        shop.steps.queries,
        truth=shop.truth,
        pairs=count_pairs(shop.steps, examination_by_position(shop.steps)),
        synonyms={"sofa": ["zxqv"], "oak": ["oaken"]},
        config=RobustnessConfig(stuffed_words=4, stuffed_share=0.3),
        progress=False,
    )


def test_each_change_is_measured_on_the_queries_it_changes(shop, report) -> None:
    rows = {row.change: row for row in report.rows}
    assert list(rows) == ["misspelling, 1 word", "synonyms", "dropped, 1 word", "stuffing, 4 words"]
    with_text = [q for q in shop.steps.queries if q]
    assert rows["misspelling, 1 word"].n_queries == sum(
        any(len(word) >= 4 for word in q.split()) for q in with_text
    )
    assert rows["synonyms"].n_queries == sum("sofa" in q or "oak" in q for q in with_text)
    assert rows["dropped, 1 word"].n_queries == sum(" " in q for q in with_text)
    assert rows["stuffing, 4 words"].n_queries == len(with_text)


def test_changes_cost_what_they_must(report) -> None:
    rows = {row.change: row for row in report.rows}
    dropped = rows[
        "dropped, 1 word"
    ]  # half of the queries lose the noun, which carries most of the relevance
    assert dropped.loss > 0.1
    assert dropped.loss_low < dropped.loss < dropped.loss_high
    assert dropped.loss == pytest.approx(dropped.ndcg_before - dropped.ndcg_after)
    assert dropped.click_auc_after < dropped.click_auc_before
    assert rows["stuffing, 4 words"].lift != 1.0
    assert np.isnan(dropped.lift)
    values = report.as_dict()["rows"][2]
    assert values["lift"] is None
    assert values["loss"] == dropped.loss


def test_without_truth_the_log_is_the_judge(shop) -> None:
    encoder = HashEncoder()
    heads = Heads.plain(encoder.width, click_scale=10.0, purchase_scale=1.0, bias=(-2.0, -2.0))
    pairs = count_pairs(shop.steps, examination_by_position(shop.steps))
    report = measure_robustness(
        encoder,
        heads,
        catalog_texts(shop.catalog),
        shop.steps.queries,
        pairs=pairs,
        rows=np.array([1, 2, 3]),
        progress=False,
    )
    names = [row.change for row in report.rows]
    assert "synonyms" not in names
    assert all(row.n_queries <= 3 and 0.0 <= row.ndcg_before <= 1.0 for row in report.rows)


def test_the_command_measures_a_saved_model(tmp_path, capsys) -> None:
    from encoders.__main__ import main
    from encoders.relevance import RelevanceModel

    encoder = HashEncoder()
    heads = Heads.plain(encoder.width, click_scale=10.0, purchase_scale=1.0, bias=(-2.0, -2.0))
    RelevanceModel(encoder, heads).save(tmp_path / "model")
    common = ["--model", str(tmp_path / "model"), "--data", "demo", "--store-size", "tiny", "--quiet"]
    assert main(["robustness", *common, "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert [row["change"].split(",")[0] for row in found] == [
        "misspelling",
        "synonyms",
        "dropped",
        "stuffing",
    ]
    assert found[1]["n_queries"] > 5
    (tmp_path / "bad.json").write_text('{"sofa": "couch"}')
    assert main(["robustness", *common, "--synonyms", str(tmp_path / "bad.json")]) == 2
    assert "synonyms are not" in capsys.readouterr().err
    assert main(["robustness", *common, "--synonyms", str(tmp_path / "none.json")]) == 2
