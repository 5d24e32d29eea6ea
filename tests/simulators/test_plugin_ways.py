"""Every way in for a researcher's own simulator: the guide's files as they stand, options, packages, saved folders."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from behavior.errors import InputError
from simulators.__main__ import main
from simulators.composed import ComposedSimulator
from simulators.contract import ContractError, check_simulator
from simulators.example import example_features, example_log, example_simulator
from simulators.fitted import FittedSimulator
from simulators.fitting.config import FitConfig
from simulators.options import read_options, typed_options
from simulators.registry import SimulatorInputs, check_name, make_simulator, saved_folder, simulator_names
from simulators.speed import Speed, speed_in_words
from simulators.storage import save_simulator

FEATURES = example_features()
GUIDE = Path(__file__).parents[2] / "docs" / "your-own-simulator.md"


def guide_code() -> tuple[str, str]:
    """The two Python files of the guide."""
    whole, part = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)
    return whole, part


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A researcher's folder with the guide's two files, made the current one."""
    for name, code in zip(("my_shop", "my_part"), guide_code(), strict=True):
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for name in ("my_shop", "my_part"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def inputs() -> SimulatorInputs:
    return SimulatorInputs(
        features=FEATURES,
        train=example_log(n_sessions=300),
        valid=example_log(n_sessions=60, first_user=300),
        slate_size=5,
        fit=FitConfig(strengths=(300.0,)),
        progress=False,
    )


def test_the_guides_example_is_short_and_complete() -> None:
    whole, _ = guide_code()
    assert len(whole.splitlines()) <= 30


def test_check_of_the_guides_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, checks in (("my_shop:TiringUsers", 9), ("my_part:OnlyTheFirstTwo", 10)):
        assert main(["check", name, "--quiet"]) == 0
        out = capsys.readouterr().out
        assert out.count("ok  ") == checks
        assert re.search(r"speed: [\d,]+ user-steps a second with 256 users .* times the built-in", out)


def test_the_replaced_part_is_the_one_that_answers(folder: Path, inputs: SimulatorInputs) -> None:
    users = make_simulator("my_part:OnlyTheFirstTwo", inputs)
    assert isinstance(users, ComposedSimulator)
    slates = np.tile(np.arange(5, dtype=np.int32), (200, 1))
    click = users.respond(users.begin(np.arange(200), seed=0), slates, seed=0).click
    assert click[:, :2].any(axis=0).all()
    assert not click[:, 2:].any()


def test_options_reach_the_class(folder: Path, inputs: SimulatorInputs) -> None:
    slates = np.tile(np.arange(5, dtype=np.int32), (500, 1))
    rates = []
    for patience in ("1", "0.1"):
        users = make_simulator("my_shop:TiringUsers", inputs, {"patience": patience})
        rates.append(users.respond(users.begin(np.arange(500), seed=0), slates, seed=0).click.mean(axis=0))
    assert rates[0][0] == rates[1][0]
    assert rates[0][1:].sum() > 3 * rates[1][1:].sum()
    with pytest.raises(InputError, match="no option 'patiens'; did you mean 'patience'"):
        make_simulator("my_shop:TiringUsers", inputs, {"patiens": "1"})
    with pytest.raises(InputError, match="takes no options at all"):
        typed_options(lambda inputs: None, {"patience": "1"}, where="f")
    assert main(["check", "my_shop:TiringUsers", "--simulator-options", "patience=much"]) == 2
    assert main(["check", "my_shop:TiringUsers", "--simulator-options", "patience"]) == 2


def test_options_of_the_built_in_ones_are_those_of_the_fit(inputs: SimulatorInputs) -> None:
    found = make_simulator("pbm", inputs, {"ring": "7", "strengths": "[30, 300]"})
    assert isinstance(found, FittedSimulator)
    assert found.ring == 7
    chosen = {part: s for part, s in found.report.strengths.items() if part != "queries' vectors"}
    assert set(chosen.values()) <= {30.0, 300.0}
    with pytest.raises(InputError, match="no option 'rings'; did you mean 'ring'"):
        make_simulator("pbm", inputs, {"rings": "7"})
    with pytest.raises(InputError, match="ring is 0, expected at least 1"):
        make_simulator("pbm", inputs, {"ring": "0"})


def test_options_are_read_as_typed() -> None:
    assert read_options(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    for pairs, says in (
        (["a"], "not of the form"),
        (["=1"], "not of the form"),
        (["a=1", "a=2"], "given twice"),
    ):
        with pytest.raises(InputError, match=says):
            read_options(pairs)

    def take(  # type: ignore[no-untyped-def]
        inputs, size=3, name=None, flag: bool = False, where: Path | None = None, many: tuple[int, ...] = ()
    ):
        """Parameters with and without annotations."""

    texts = {"size": "4", "name": "5", "flag": "true", "where": "a/b", "many": "[1, 2]"}
    assert typed_options(take, texts, where="t") == {
        "size": 4,
        "name": "5",
        "flag": True,
        "where": Path("a/b"),
        "many": (1, 2),
    }
    assert typed_options(take, {"size": None}, where="t") == {"size": None}  # given in Python: as it is
    with pytest.raises(InputError, match=r"size=4\.5: .*integer"):
        typed_options(take, {"size": "4.5"}, where="t")
    assert typed_options(lambda **kw: None, {"anything": "1"}, where="t") == {"anything": "1"}


def test_an_installed_package_gives_its_simulator_a_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    inputs: SimulatorInputs,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # What `pip install --target site` leaves: a module, and a .dist-info folder with the entry points of the guide.
    site = tmp_path / "site"
    about = site / "tiring_shop-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tiring-shop\nVersion: 1.0\n")
    toml = re.findall(r"```toml\n\[project.entry-points.\"(.*?)\"\]\n(.*?)```", GUIDE.read_text(), re.S)
    (group, lines), *_ = toml
    entries = lines.replace("my_shop:", "installed_shop:").replace('"', "")
    (about / "entry_points.txt").write_text(f"[{group}]\n{entries}broken = installed_shop:Nobody\n")
    (site / "installed_shop.py").write_text(guide_code()[0], encoding="utf-8")
    assert "tiring" not in simulator_names()
    monkeypatch.syspath_prepend(site)
    assert {"tiring", "broken"} <= set(simulator_names())
    assert make_simulator("tiring", inputs, {"patience": "0.5"}).patience == 0.5  # type: ignore[attr-defined]
    assert main(["list"]) == 0
    assert "tiring" in capsys.readouterr().out.split()
    for name, says in (("broken", "has no class 'Nobody'"), ("tirring", "did you mean 'tiring'")):
        with pytest.raises(InputError, match=says):
            check_name(name)


def test_a_saved_folder_is_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inputs: SimulatorInputs
) -> None:
    monkeypatch.chdir(tmp_path)
    saved = example_simulator()
    save_simulator(saved, tmp_path / "mine")
    save_simulator(example_simulator("cascade"), tmp_path / "pbm")
    assert saved_folder("pbm") is None  # the click model
    assert saved_folder("./pbm") == Path("pbm")
    assert saved_folder("nowhere") is None
    slates = np.tile(np.arange(5, dtype=np.int32), (50, 1))
    found = [
        users.respond(users.begin(np.arange(50), seed=4), slates, seed=4).click
        for users in (saved, make_simulator("mine", inputs), make_simulator(str(tmp_path / "mine"), inputs))
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    with pytest.raises(InputError, match="takes no options, found ring"):
        make_simulator("mine", inputs, {"ring": "3"})
    (tmp_path / "empty").mkdir()
    for name, says in (
        ("empty", "holds no simulator.json"),
        ("./nowhere", "there is no such folder"),
        ("nowhere", "unknown simulator 'nowhere'"),
    ):
        with pytest.raises(InputError, match=says):
            check_name(name)
    check_name("mine")


def test_a_saved_simulator_of_another_shop_is_refused(tmp_path: Path, inputs: SimulatorInputs) -> None:
    other = example_simulator(features=example_features(n_items=50))
    save_simulator(other, tmp_path / "other")
    with pytest.raises(InputError, match="knows 50 items and 20 queries, the shop 200 and 20") as error:
        make_simulator(str(tmp_path / "other"), inputs)
    assert "log it was fitted to" in error.value.mend
    dearer = replace(FEATURES, price=FEATURES.price * np.float32(1.1))
    save_simulator(example_simulator(features=dearer), tmp_path / "dearer")
    with pytest.raises(InputError, match="200 of 200 have another price"):
        make_simulator(str(tmp_path / "dearer"), inputs)
    narrow = example_simulator(slate_size=3)
    save_simulator(narrow, tmp_path / "narrow")
    with pytest.raises(InputError, match="at most 3 items, the task shows 5"):
        make_simulator(str(tmp_path / "narrow"), inputs)


def test_torchs_generator_is_watched_too() -> None:
    import torch

    class Torchy(ComposedSimulator):
        def respond(self, state, slates, *, seed):  # type: ignore[no-untyped-def]
            torch.rand(1)
            return super().respond(state, slates, seed=seed)

    base = example_simulator()
    parts = (
        "features",
        "population",
        "attractiveness",
        "examination",
        "conversion",
        "dynamics",
        "slate_size",
    )
    with pytest.raises(ContractError, match="global random generator"):
        check_simulator(Torchy(**{name: getattr(base, name) for name in parts}))


@pytest.mark.parametrize(
    ("steps", "says", "warns"),
    [(50_000, "6.0 s", False), (250, "20 min", False), (50, "100 min", True)],
)
def test_speed_in_words(steps: int, says: str, warns: bool) -> None:
    mine = Speed(user_steps=steps, seconds=1.0, users=256)
    built_in = Speed(user_steps=200_000, seconds=2.0, users=256)
    line, warning = speed_in_words(mine, built_in, training_steps=300_000)
    assert f"{steps:,} user-steps a second with 256 users" in line
    assert f"{steps / 100_000:.2g} times the built-in simulator's 100,000" in line
    assert says in line
    assert bool(warning) == warns


def test_notes_of_a_plug_in_are_printed(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = guide_code()[0].replace("class TiringUsers:", 'class TiringUsers:\n    notes = ("made up",)\n')
    (folder / "my_noted_shop.py").write_text(code, encoding="utf-8")
    assert main(["check", "my_noted_shop:TiringUsers", "--quiet"]) == 0
    assert "note: made up" in capsys.readouterr().out


def test_check_on_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "simulators.examples:ReplaySimulator", "--data", "/no/such.csv"]) == 2
    assert "error: " in capsys.readouterr().err
    assert (
        main(
            [
                "check",
                "simulators.examples:ReplaySimulator",
                "--store-size",
                "tiny",
                "--data",
                "demo",
                "--quiet",
            ]
        )
        == 0
    )
    out = capsys.readouterr().out
    assert "note: replay: of the" in out
    assert out.count("ok  ") == 10
