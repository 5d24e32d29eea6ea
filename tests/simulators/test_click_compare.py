"""Scores by hand, misspecification that shows, features for unseen items, and the command."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
from rich.console import Console

from behavior.errors import InputError
from simulators.clicks.compare import BASELINE, compare_click_models
from simulators.clicks.config import ClickFitConfig
from simulators.clicks.fit import fit_click_model
from simulators.clicks.fitted import Prediction
from simulators.clicks.pages import ClickPages, pages_of
from simulators.clicks.scores import rates_prediction, score, subtract
from simulators.clicks.worlds import make_world
from simulators.example import example_features, example_log, example_simulator

ONE = ClickFitConfig(strengths=(1.0,))


def pages_by_hand():
    return ClickPages(
        item=np.array([[0, 1], [1, -1]]),
        click=np.array([[True, False], [False, False]]),
        query=np.zeros(2, int),
        session=np.arange(2),
        n_items=2,
    )


def prediction(chance):
    yes, no = np.log(chance), np.log1p(-np.asarray(chance))
    return Prediction(
        log_likelihood=np.zeros(2), given_yes=yes, given_no=no, marginal_yes=yes, marginal_no=no
    )


def test_scores_worked_by_hand():
    found = score(prediction([[0.5, 0.25], [0.875, 0.5]]), pages_by_hand(), n_bootstrap=500)
    # Position 1: a click at 1/2 (1 bit), none at 7/8 (3 bits): 2^2; position 2: none at 1/4, 2^(log2 4/3).
    assert found.by_position[0].value == pytest.approx(4.0)
    assert found.by_position[1].value == pytest.approx(4 / 3)
    assert found.perplexity.value == pytest.approx((4 + 4 / 3) / 2)
    assert found.conditional_perplexity.value == pytest.approx((4 + 4 / 3) / 2)
    assert found.log_likelihood.value == pytest.approx((math.log(0.5 * 0.75) + math.log(0.125)) / 2)
    assert (found.by_position[0].low, found.by_position[0].high) == pytest.approx((2.0, 8.0))
    rates = rates_prediction(pages_by_hand(), pages_by_hand())
    np.testing.assert_allclose(np.exp(rates.marginal_yes[0]), [1.5 / 3, 0.5 / 2])
    with pytest.raises(InputError, match="no held-out page"):
        score(prediction([[0.5, 0.25], [0.875, 0.5]]), pages_by_hand().take(np.zeros(2, bool)))


def test_intervals_cover_as_often_as_they_say():
    """A constant prediction of coins: the log-likelihood per page of the law is known."""
    rng = np.random.default_rng(0)
    truth = 0.3 * math.log(0.4) + 0.7 * math.log(0.6)
    held = []
    for seed in range(200):
        click = rng.random((150, 1)) < 0.3
        pages = ClickPages(
            item=np.zeros((150, 1), int),
            click=click,
            query=np.zeros(150, int),
            session=np.arange(150),
            n_items=1,
        )
        chance = np.full((150, 1), 0.4)
        yes, no = np.log(chance), np.log1p(-chance)
        made = Prediction(
            log_likelihood=np.zeros(150), given_yes=yes, given_no=no, marginal_yes=yes, marginal_no=no
        )
        found = score(made, pages, n_bootstrap=200, seed=seed).log_likelihood
        held.append(found.low <= truth <= found.high)
    assert 0.88 <= np.mean(held) <= 0.99  # 0.95, five standard errors of 200 draws down


@pytest.fixture(scope="module", params=["pbm", "dcm"])
def compared(request):
    world = make_world(request.param, n_queries=2, n_items=8, n_positions=5)
    names = ("pbm", "dcm", "cascade", "cm", "dbn")
    return request.param, compare_click_models(
        world.pages(4_000, seed=1), world.pages(3_000, seed=2), ONE, models=names, n_bootstrap=300
    )


def test_a_model_of_the_wrong_kind_shows(compared):
    true, found = compared
    wrong = {"pbm": "dcm", "dcm": "pbm"}[true]
    assert found[wrong].clearly_behind
    assert not found[true].clearly_behind
    assert found[BASELINE].clearly_behind
    assert "several clicks" in found["cm"].refused
    assert wrong in found.verdict().split("speaks against")[1].split("; cannot")[0]
    assert found.verdict().endswith("cannot be: cm")
    if true == "pbm":  # even a cascade that may go on after a click, and tire
        assert found["cascade"].clearly_behind
        assert found["dbn"].clearly_behind
    json.dumps(found.to_json(), allow_nan=False)
    assert found.table().row_count == 6


def test_differences_are_of_the_same_sessions(compared):
    _, found = compared
    best, rates = found.best.scores, found[BASELINE].scores
    apart = math.hypot(*(f.draws.std() for f in (best.log_likelihood, rates.log_likelihood)))
    assert found[BASELINE].behind.draws.std() < 0.85 * apart
    assert subtract(best.perplexity, best.perplexity).high == 0.0


def test_a_log_that_carries_no_model_is_refused():
    pages = make_world("pbm").pages(200, seed=1)
    with pytest.raises(InputError, match="several clicks"):
        compare_click_models(pages, pages, ONE, models=("cm", "mnl"))
    with pytest.raises(InputError, match="unknown click model"):
        compare_click_models(pages, pages, ONE, models=("cm", "pmb"))


def test_unseen_items_get_sensible_values_from_features():
    features, truth = example_features(), example_simulator("cascade")
    log = example_log("cascade", n_sessions=700)
    hidden = 150  # items from here on are never seen by the fit
    seen = log.take((log.item < hidden).all(axis=1))
    unseen = log.take((log.item >= hidden).any(axis=1))
    config = ClickFitConfig(appeal="features", strengths=(30.0,))
    fitted = fit_click_model("cascade", pages_of(seen, n_items=200, tables=features), config)
    pages = pages_of(unseen, n_items=200, tables=features)
    new = pages.item >= hidden
    first = new & (unseen.step[:, None] == 0)  # a session's first page: the true logits need no history
    state = truth.begin(np.zeros(unseen.n_steps, np.int64), seed=0)
    state.query[:], state.context[:] = unseen.query, unseen.context
    logits = truth.attractiveness.logits(state, truth.memory, unseen.item)
    chance = fitted.attractiveness(pages)[first]
    assert first.sum() > 300
    assert np.corrcoef(np.log(chance / (1 - chance)), logits[first])[0, 1] > 0.85
    table = fit_click_model("cascade", pages_of(seen, n_items=200), ONE)
    assert (
        np.ptp(table.attractiveness(pages_of(unseen, n_items=200))[new]) < 1e-12
    )  # a table knows nothing of them
    with pytest.raises(InputError, match="no feature rows"):
        fit_click_model("pbm", pages_of(seen, n_items=200), config)


def test_the_command(tmp_path, capsys):
    from simulators.__main__ import main

    world = make_world("pbm", n_queries=2)
    pages = world.pages(900, seed=3)
    rows = ["session_id,user_id,step,timestamp,query,position,item_id,click"]
    for m in range(pages.n_pages):
        for k in range(4):
            rows.append(
                f"s{pages.session[m]},u{pages.session[m]},{m % 3},2024-01-{1 + pages.session[m] // 20:02d}T00:00:00Z,"
                f"q{pages.query[m]},{k},i{pages.item[m, k]},{int(pages.click[m, k])}"
            )
    log, catalog, out = tmp_path / "log.csv", tmp_path / "items.csv", tmp_path / "found.json"
    log.write_text("\n".join(rows) + "\n")
    catalog.write_text("item_id,title\n" + "".join(f"i{i},thing {i}\n" for i in range(8)))
    command = [
        "fit-clicks",
        "--data",
        str(log),
        "--catalog",
        str(catalog),
        "--models",
        "pbm",
        "cm",
        "--quiet",
    ]
    assert main([*command, "--json", str(out), "--bootstrap", "100"]) == 0
    text = capsys.readouterr().out
    assert "pbm" in text
    assert "cannot be: cm" in text
    found = json.loads(out.read_text())
    assert [row["model"] for row in found["models"]] == ["pbm", BASELINE, "cm"]
    assert len(found["models"][0]["parameters"]["examination"]) == 4
    assert main([*command, "--json", str(out)]) == 2
    assert "not overwritten" in capsys.readouterr().err


def test_the_table_says_how_large_a_loss_is_and_cuts_nothing():
    world = make_world("dcm")
    train, held = world.pages(900, seed=1), world.pages(600, seed=2)
    config = ClickFitConfig(strengths=(3.0,))
    found = compare_click_models(train, held, config, models=("dcm", "pbm", "mnl"), n_bootstrap=50)
    best, rates = (found[name].scores.log_likelihood.value for name in (found.best.name, "rates"))
    ours = found["pbm"].scores.log_likelihood.value
    assert found.share_won(found["pbm"]) == pytest.approx((ours - rates) / (best - rates))
    assert (found.share_won(found.best), found.share_won(found["rates"])) == (1.0, 0.0)
    assert math.isnan(found.share_won(found["mnl"]))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(found.table())
    text = console.export_text()
    assert "…" not in text
    for word in (
        "refused",
        "worse",
        f"{found.share_won(found['pbm']):.0%}",
        f"{ours:.4f}",
        str(found["rates"].behind),
    ):
        assert word in text
