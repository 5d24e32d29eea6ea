"""The contract suite, the registry, the command line, and the code of the guide."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from behavior.errors import InputError
from simulators.base import InspectableSimulator
from simulators.composed import ComposedSimulator
from simulators.contract import ContractError, check_simulator
from simulators.example import example_features, example_log, example_simulator
from simulators.fidelity import bootstrap_ratios, measure_fidelity
from simulators.fitting.config import FitConfig
from simulators.registry import SimulatorInputs, make_simulator, simulator_names

GUIDE = Path(__file__).parents[2] / "docs" / "your-own-simulator.md"


def _inputs() -> SimulatorInputs:
    return SimulatorInputs(
        features=example_features(),
        train=example_log(n_sessions=500),
        valid=example_log(n_sessions=100, first_user=500),
        slate_size=5,
        fit=FitConfig(strengths=(300.0,)),
        progress=False,
    )


@pytest.mark.parametrize("kind", ["pbm", "cascade"])
def test_built_in_simulators_keep_the_contract(kind: str) -> None:
    simulator = example_simulator(kind)
    assert isinstance(simulator, InspectableSimulator)
    assert len(check_simulator(simulator)) == 10


class _Faulty(ComposedSimulator):
    """A right simulator, to be spoilt."""

    def __init__(self) -> None:
        base = example_simulator()
        names = (
            "features",
            "population",
            "attractiveness",
            "examination",
            "conversion",
            "dynamics",
            "slate_size",
        )
        super().__init__(**{name: getattr(base, name) for name in names})
        self.served = 0


class _BuysUnclicked(_Faulty):
    def respond(self, state, slates, *, seed):  # type: ignore[no-untyped-def]
        feedback = super().respond(state, slates, seed=seed)
        feedback.purchase[:] = 1
        return feedback


class _DrawsByRow(_Faulty):
    def respond(self, state, slates, *, seed):  # type: ignore[no-untyped-def]
        feedback = super().respond(state, slates, seed=seed)
        u = np.random.default_rng([seed, int(state.step[0])]).random(feedback.click.shape)
        np.copyto(feedback.click, (u < 0.5) | (feedback.purchase > 0))
        return feedback


class _Counts(_Faulty):
    def respond(self, state, slates, *, seed):  # type: ignore[no-untyped-def]
        self.served += 1
        return super().respond(state, slates, seed=seed + self.served)


class _Global(_Faulty):
    def respond(self, state, slates, *, seed):  # type: ignore[no-untyped-def]
        np.random.random()  # noqa: NPY002
        return super().respond(state, slates, seed=seed)


class _Stands(_Faulty):
    def respond(self, state, slates, *, seed):  # type: ignore[no-untyped-def]
        feedback = super().respond(state, slates, seed=seed)
        state.step -= 1
        return feedback


class _Floats(_Faulty):
    def begin(self, users, *, seed):  # type: ignore[no-untyped-def]
        state = super().begin(users, seed=seed)
        state.query = state.query.astype(np.float32)
        return state


class _Sells(_Faulty):
    def appeal(self, state, items):  # type: ignore[no-untyped-def]
        state.step += 1
        return super().appeal(state, items)


@pytest.mark.parametrize(
    ("spoilt", "complaint"),
    [
        (_BuysUnclicked, "purchase without a click"),
        (_DrawsByRow, "who else is in the batch"),
        (_Counts, "other sessions the second time"),
        (_Global, "global random generator"),
        (_Stands, "add 1 to state.step"),
        (_Floats, "state.query must be int32"),
        (_Sells, "must not change the state"),
    ],
)
def test_each_fault_is_named(spoilt: type[_Faulty], complaint: str) -> None:
    with pytest.raises(ContractError, match=complaint):
        check_simulator(spoilt())


def test_names_and_module_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert simulator_names()[:2] == ("pbm", "cascade")
    first, second = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)
    (tmp_path / "guide_shop.py").write_text(first + "\n\n" + second, encoding="utf-8")
    (tmp_path / "guide_broken.py").write_text("import no_such_module_at_all\n", encoding="utf-8")
    (tmp_path / "guide_faulty.py").write_text(
        "class Faulty:\n    def __init__(self, inputs): pass\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    inputs = _inputs()
    users = make_simulator("guide_shop:TiringUsers", inputs)
    report = measure_fidelity(users, inputs.train, inputs.valid, n_sessions=200, progress=False)
    assert not report.likelihood
    assert any(row.measure == "pages per session" for row in report.behaviour)
    composed = make_simulator("guide_shop:OnlyTheFirstTwo", inputs)
    assert isinstance(composed, ComposedSimulator)
    slates = np.tile(np.arange(5, dtype=np.int32), (100, 1))
    click = composed.respond(composed.begin(np.arange(100), seed=0), slates, seed=0).click
    assert click[:, :2].any()
    assert not click[:, 2:].any()
    for name, complaint in (
        ("pmb", "did you mean 'pbm'"),
        ("no_such_thing:Users", "no module 'no_such_thing'"),
        ("guide_broken:Users", "imports 'no_such_module_at_all'"),
        ("guide_shop:Nobody", "no class 'Nobody'"),
        ("guide_faulty:Faulty", "breaks the contract"),
    ):
        with pytest.raises(InputError, match=complaint):
            make_simulator(name, inputs)
    assert str(tmp_path) not in sys.path
    width = inputs.train.context.shape[1]
    talkative = first.replace("context_size = None, 0", f"context_size = None, {width + 1}")
    talkative = talkative.replace("np.zeros((n, 0)", f"np.zeros((n, {width + 1})")
    (tmp_path / "guide_talkative.py").write_text(talkative, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"tells {width + 1} numbers of each user, the log {width}"):
        make_simulator("guide_talkative:TiringUsers", inputs)


def test_fidelity_of_the_true_model_and_of_a_wrong_one() -> None:
    valid = example_log(n_sessions=1_500, first_user=50_000)
    right = measure_fidelity(example_simulator(), valid, valid, n_sessions=3_000, seed=1, progress=False)
    agree = np.mean([row.agrees for row in right.behaviour])
    assert agree > 0.8
    wrong = measure_fidelity(
        example_simulator("cascade"), valid, valid, n_sessions=3_000, seed=1, progress=False
    )
    below = {row.measure: row for row in wrong.behaviour}["click rate, position 5"]
    assert not below.agrees
    for report in (right, wrong):
        assert report.to_json()["behaviour"][0]["measure"] == "click rate, position 1"
    best, worse = right.likelihood[0], wrong.likelihood[0]
    assert best.simulated > best.logged
    assert best.simulated > worse.simulated


def test_bootstrap_of_a_mean_has_the_textbook_width() -> None:
    x = np.random.default_rng(0).normal(5.0, 2.0, (4_000, 1))
    value, low, high = bootstrap_ratios(x, np.ones_like(x), 2_000, 0.95, 0)[:, 0]
    assert value == pytest.approx(x.mean())
    assert high - low == pytest.approx(2 * 1.96 * 2.0 / np.sqrt(4_000), rel=0.1)
    nothing = bootstrap_ratios(x, np.zeros_like(x), 100, 0.95, 0)
    assert np.isnan(nothing).all()


def test_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from simulators.__main__ import main

    monkeypatch.chdir(tmp_path)
    assert main(["list"]) == 0
    assert capsys.readouterr().out.split() == list(simulator_names())
    (tmp_path / "command_shop.py").write_text(
        re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)[0], encoding="utf-8"
    )
    assert main(["check", "command_shop:TiringUsers"]) == 0
    assert "ok  " in capsys.readouterr().out
    assert main(["check", "command_shop:Other"]) == 2
    assert main(["validate", "--simulator", str(tmp_path / "nowhere")]) == 2
    assert main(["fit", "--out", str(tmp_path / "new"), "--ring", "0"]) == 2
    assert main(["fit", "--out", str(tmp_path)]) == 2
    errors = capsys.readouterr().err
    assert errors.count("error: ") == 4
    assert "Traceback" not in errors
