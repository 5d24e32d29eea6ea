"""Cross-fitted reward models and learned weights: what they see, that order does not matter, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.estimators import bips, dm, dr, ips, mips
from evaluation.estimators.cross_fitting import Pages, one_hot
from evaluation.estimators.fitted_weights import balanced_weights, item_posterior
from evaluation.estimators.many_items import category_weights, posterior_weights
from evaluation.estimators.reward_models import RewardTable, cross_fit_rewards, default_reward_model

Array = NDArray[np.float64]


class Memory:
    """A regressor that answers with the reward it saw on the very same features, else with -1."""

    def fit(self, features: Array, target: Array) -> Memory:
        self.known = {row.tobytes(): value for row, value in zip(features, target, strict=True)}
        self.width = features.shape[1]
        return self

    def predict(self, features: Array) -> Array:
        return np.array([self.known.get(row.tobytes(), -1.0) for row in features])


def some_log(n: int = 600, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    context = rng.integers(0, 2, (n, 2)).astype(float)
    slot = rng.integers(0, 3, n)
    # The logging policy looks at the first feature.
    taste = np.where(context[:, :1] > 0, [0.5, 0.2, 0.2, 0.1], [0.1, 0.3, 0.3, 0.3])
    action = (np.cumsum(taste, axis=1) <= rng.random(n)[:, None]).sum(axis=1)
    chance = 0.15 + 0.15 * action + 0.1 * context[:, 1] - 0.03 * slot
    return {
        "reward": (rng.random(n) < chance).astype(float),
        "action": action,
        "sessions": rng.integers(0, n // 3, n),
        "context": context,
        "slot": slot,
        "logging": taste,
    }


def fit(log: dict[str, Any], **changes: Any) -> RewardTable:
    kept = {name: log[name] for name in ("reward", "action", "sessions", "context", "slot")}
    return cross_fit_rewards(**{**kept, "n_items": 4, "n_folds": 3, **changes})


def test_no_row_is_predicted_by_a_model_that_saw_its_session() -> None:
    """Features name the session, so a model that knows a row's reward can only have it from its session."""
    log = some_log(90)
    names = one_hot(log["sessions"])
    table = fit(log, model=Memory(), context=names, slot=None)
    assert np.all(table.values == -1.0)
    # Without the name the same model does find rewards of other sessions.
    assert np.any(fit(log, model=Memory()).values >= 0)


def test_folds_go_by_the_session() -> None:
    log = some_log(400)
    pages = Pages.of(
        n=400, context=log["context"], slot=None, sessions=log["sessions"], n_folds=4, where="test"
    )
    fold = pages.row_fold
    assert set(fold) == {0, 1, 2, 3}
    for session in np.unique(log["sessions"]):
        assert np.unique(fold[log["sessions"] == session]).size == 1
    # A session keeps its fold when others are gone.
    kept = log["sessions"] % 2 == 0
    fewer = Pages.of(
        n=int(kept.sum()), context=None, slot=None, sessions=log["sessions"][kept], n_folds=4, where="test"
    )
    assert np.array_equal(fewer.row_fold, fold[kept])
    assert pages.features[pages.index] == pytest.approx(log["context"])


def boosted() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=10, random_state=0)


@pytest.mark.parametrize("model", [lambda: None, boosted], ids=["default", "boosted"])
def test_rows_shuffled_give_the_same_predictions(model: Callable[[], Any]) -> None:
    log = some_log()
    order = np.random.default_rng(1).permutation(600)
    shuffled = {name: value[order] for name, value in log.items()}
    one, two = fit(log, model=model()), fit(shuffled, model=model())
    assert np.array_equal(one.rows()[order], two.rows())  # to the bit


def test_embeddings_carry_over_to_items_that_were_never_shown() -> None:
    log = some_log(3000, seed=1)
    kind = np.array(
        [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
    )  # item 4 is of the second kind
    found = fit(log, n_items=5, item_features=kind).values
    assert found[:, 4] == pytest.approx(found[:, 1], abs=1e-12)


def test_rows_shuffled_give_the_same_figure_the_whole_way() -> None:
    log = some_log()
    judged = np.array([0.1, 0.2, 0.3, 0.4])
    found = []
    for order in (np.arange(600), np.random.default_rng(2).permutation(600)):
        x = {name: value[order] for name, value in log.items()}
        logged, policy = fit(x).pair(action=x["action"], distribution=judged)
        rows = x["reward"], x["logging"][np.arange(600), x["action"]], judged[x["action"]]
        estimate = dr(*rows, q_logged=logged, q_policy=policy)
        found.append((estimate.value, estimate.standard_error))
    assert found[1] == pytest.approx(found[0], rel=1e-12)


def test_items_are_columns_of_their_own() -> None:
    """Numbering the items in another way gives the same predictions under the new numbers."""
    log = some_log()
    new = np.array([2, 0, 3, 1])
    one = fit(log).rows()
    two = fit({**log, "action": new[log["action"]]}).rows()
    assert two[:, new] == pytest.approx(one, abs=1e-5)
    with pytest.raises(InputError, match="merely numbers the items"):
        fit(log, item_features=np.array([[3.0], [1.0], [2.0], [0.0]]))


def test_a_model_learns_what_is_there() -> None:
    log = some_log(4000, seed=2)
    table = fit(log)
    rows = np.arange(4000)
    truth = 0.15 + 0.15 * np.arange(4) + 0.1 * log["context"][:, 1:2] - 0.03 * log["slot"][:, None]
    assert np.abs(table.rows() - truth).max() < 0.1
    logged, policy = table.pair(action=log["action"], distribution=np.array([0.1, 0.2, 0.3, 0.4]))
    assert np.array_equal(logged, table.rows()[rows, log["action"]])
    assert policy == pytest.approx(table.rows() @ [0.1, 0.2, 0.3, 0.4])
    each = np.random.default_rng(0).dirichlet(np.ones(4), 4000)
    assert table.pair(action=log["action"], distribution=each)[1] == pytest.approx(
        (table.rows() * each).sum(axis=1)
    )


def test_with_a_model_the_error_is_smaller() -> None:
    log = some_log(4000, seed=3)
    judged = np.array([0.05, 0.15, 0.3, 0.5])
    truth = float(
        (judged * (0.15 + 0.15 * np.arange(4) + 0.1 * log["context"][:, 1:2] - 0.03 * log["slot"][:, None]))
        .sum(axis=1)
        .mean()
    )
    rows = np.arange(4000), log["action"]
    propensities = (log["reward"], log["logging"][rows], judged[log["action"]])
    logged, policy = fit(log).pair(action=log["action"], distribution=judged)
    plain, doubly = ips(*propensities), dr(*propensities, q_logged=logged, q_policy=policy)
    assert doubly.standard_error < 0.8 * plain.standard_error
    assert abs(doubly.value - truth) < 4 * doubly.standard_error
    assert abs(dm(policy).value - truth) < 0.05


def test_folds_in_which_nobody_clicked() -> None:
    log = some_log(60)
    table = fit(log, reward=np.zeros(60))
    assert np.all(table.values == 0)
    reward = np.zeros(60)
    reward[7] = 1  # in one fold alone: the models of the others see it, its own does not
    values = fit(log, reward=reward).rows()
    pages = Pages.of(n=60, context=None, slot=None, sessions=log["sessions"], n_folds=3, where="test")
    mine = pages.row_fold == pages.row_fold[7]
    assert np.all(values[mine] == 0)
    assert np.all(values[~mine].max(axis=1) > 0)


def test_rewards_of_several_classes_and_of_any_size() -> None:
    log = some_log(600)
    reward = log["reward"] * (1 + 5 * (log["slot"] == 0))  # 0, 1, 6
    from sklearn.linear_model import LogisticRegression

    classes = fit(log, reward=reward, model=LogisticRegression(max_iter=1000))
    assert classes.rows().mean() == pytest.approx(reward.mean(), rel=0.5)
    assert type(default_reward_model(reward)).__name__ == "Ridge"
    assert type(default_reward_model(log["reward"])).__name__ == "LogisticRegression"
    with pytest.raises(InputError, match="LogisticRegression cannot be fitted"):
        fit(log, reward=reward + np.linspace(0, 1, 600), model=LogisticRegression())


class Broken:
    def fit(self, features: Array, target: Array) -> Broken:
        return self

    def predict(self, features: Array) -> Array:
        return np.full(len(features), np.nan)


def test_bad_input() -> None:
    log = some_log(60)
    for bad, what in (
        ({"reward": np.where(np.arange(60) == 5, np.nan, log["reward"])}, "row 5"),
        ({"action": np.zeros(60, int)}, "every row shows item 0"),
        ({"action": log["action"] + 1}, "expected 0 to 3"),
        ({"sessions": np.zeros(60)}, "all rows fall into one of 3 folds"),
        ({"sessions": log["sessions"][:-1]}, "`sessions` has shape"),
        ({"n_folds": 1}, "1 folds"),
        ({"n_items": 1}, "1 items"),
        ({"context": log["context"][:-1]}, "59 rows of context"),
        ({"context": log["context"][:, 0]}, "shape"),
        ({"context": np.where(np.arange(60)[:, None] == 3, np.nan, log["context"])}, "row 3"),
        ({"item_features": np.zeros((3, 2))}, "3 rows for 4 items"),
        ({"item_features": np.arange(4)}, "shape"),
        ({"model": Broken()}, "not finite"),
    ):
        with pytest.raises(InputError, match=what):
            fit(log, **bad)
    with pytest.raises(InputError, match="at least 2"):
        cross_fit_rewards(reward=[1.0], action=[0], sessions=[0], n_items=2)


def test_balanced_weights_find_the_ratio() -> None:
    log = some_log(4000, seed=4)
    judged = np.array([0.3, 0.3, 0.1, 0.3])
    known = {name: log[name] for name in ("action", "sessions", "context")}
    rows = np.arange(4000), log["action"]
    ratio = judged[log["action"]] / log["logging"][rows]
    found = balanced_weights(**known, evaluation=judged, n_folds=2, n_drawn=3)
    assert np.corrcoef(found, ratio)[0, 1] > 0.98
    assert found.mean() == pytest.approx(1, abs=0.05)
    propensities = (log["reward"], log["logging"][rows], judged[log["action"]])
    assert bips(log["reward"], found).value == pytest.approx(ips(*propensities).value, abs=0.03)
    order = np.random.default_rng(0).permutation(4000)
    again = balanced_weights(
        **{name: value[order] for name, value in known.items()}, evaluation=judged, n_folds=2, n_drawn=3
    )
    assert np.array_equal(again, found[order])


def test_balanced_weights_of_policies_that_look_at_the_page() -> None:
    log = some_log(800, seed=6)
    judged = np.where(log["context"][:, 1:] > 0, [0.4, 0.4, 0.1, 0.1], [0.1, 0.1, 0.4, 0.4])
    known = {name: log[name] for name in ("action", "sessions", "context")}
    found = balanced_weights(**known, evaluation=judged, n_folds=2, n_drawn=3)
    rows = np.arange(800), log["action"]
    assert np.corrcoef(found, judged[rows] / log["logging"][rows])[0, 1] > 0.9


def test_item_posterior_gives_marginal_weights() -> None:
    rng = np.random.default_rng(5)
    n = 3000
    b, e = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.1, 0.2, 0.3, 0.4])
    wears = np.array([[0.8, 0.2], [0.6, 0.4], [0.4, 0.6], [0.1, 0.9]])
    action = rng.choice(4, n, p=b)
    category = (rng.random(n) < wears[action, 1]).astype(int)
    posterior = item_posterior(
        action=action, embedding=one_hot(category), logging=b, sessions=np.arange(n), n_folds=2
    )
    assert posterior.sum(axis=1) == pytest.approx(np.ones(n))
    learned = posterior_weights(posterior, logging=b, evaluation=e)
    known = category_weights(category, logging=b, evaluation=e, probability=wears)
    assert learned == pytest.approx(known, abs=0.08)
    reward = (rng.random(n) < 0.2 + 0.4 * category).astype(float)
    assert mips(reward, learned).value == pytest.approx(mips(reward, known).value, abs=0.02)


def test_bad_input_of_weights() -> None:
    log = some_log(60)
    known = {name: log[name] for name in ("action", "sessions", "context")}
    share = np.full(4, 0.25)
    for bad, what in (
        ({"n_drawn": 0}, "n_drawn is 0"),
        ({"evaluation": np.full(4, 0.5)}, "sums to 2"),
        ({"action": log["action"][:, None]}, "`action` has shape"),
        ({"sessions": np.zeros(60)}, "all rows"),
    ):
        with pytest.raises(InputError, match=what):
            balanced_weights(**{**known, "evaluation": share, **bad})
    with pytest.raises(InputError, match="59 embeddings"):
        item_posterior(**known, embedding=np.zeros((59, 1)), logging=share)


def test_the_example_of_the_docs(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "estimators-single.md"
    code = page.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(compile(code, str(page), "exec"), names)
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said[:2]] == ["SNIPS", "DR"]
    assert abs(names["tuned"].estimate.value - 0.25) < 0.1
    assert abs(names["dr"](*names["rows"], **names["model"]).value - 0.25) < 0.06
