"""A run in a researcher's own simulator, whole or in one part, and in one fitted before, from a folder elsewhere."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "your-own-simulator.md"
KEPT = ["session_id", "user_id", "step", "timestamp", "query", "position", "item_id", "click", "purchase"]


@pytest.fixture(scope="module")
def shop_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """Options that name the tiny store's log and catalogue as files: nobody knows the truth behind them."""
    from store import StoreConfig, open_store

    folder = tmp_path_factory.mktemp("shop")
    shop = open_store(StoreConfig.tiny(seed=0))
    shop.log.rows[KEPT].to_csv(folder / "log.csv", index=False)
    shop.catalog.frame[["item_id", "title", "category", "price"]].to_csv(folder / "products.csv", index=False)
    return ("--data", folder / "log.csv", "--catalog", folder / "products.csv")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The researcher's folder, outside the repository, with the guide's two files under names of this test's own."""
    whole, part = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)
    for name, code in (("run_shop", whole), ("run_part", part)):
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table_of(folder: Path) -> dict[str, Any]:
    table: dict[str, Any] = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    return table


@pytest.mark.slow
def test_trained_judged_and_reported_by_name(
    here: Path,
    shop_files: Sequence[object],
    small: Sequence[str],
    run_train: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    from evaluation.__main__ import main as evaluate
    from evaluation.tensorboard import read_scalars

    users, called = "run_shop:TiringUsers", "the simulator run_shop:TiringUsers"
    ended = run_train(
        *small,
        *shop_files,
        *("--simulator", users, "--simulator-options", "patience=0.6", "--compare", "pbm"),
        *("--logs", here / "logs", "--name", "own", "--quiet"),
    )
    assert ended.code == 0, ended.err
    run = here / "logs" / "own"
    assert table_of(run)["world"] == called
    assert called in ended.out
    assert "fitted simulator" not in ended.out
    page = (run / "report.html").read_text(encoding="utf-8")
    assert called in page
    assert f"T{called[1:]} answers as its author made it answer" in page
    assert "fitted simulator" not in page
    assert f"user-steps of training in {called}" in page
    config = yaml.safe_load((run / "config.yaml").read_text())["user"]
    assert (config["simulator"], config["simulator_options"]) == (users, ["patience=0.6"])
    scalars = read_scalars(run)
    assert any(tag.startswith("train/") for tag in scalars)
    assert "final/score" in {tag.removeprefix("hparams/") for tag in scalars}
    # Both the simulator of the run and the one to compare with stand in the fidelity table.
    assert (run / "simulators" / "run_shop-TiringUsers.fidelity.json").is_file()
    capsys.readouterr()
    options = ["--run", str(run), "--users", "10", "--planner-users", "2", "--out", str(here / "judged")]
    assert evaluate(options) == 0
    assert called in " ".join(capsys.readouterr().out.split())  # lines are wrapped
    assert table_of(here / "judged")["world"] == called


@pytest.mark.slow
def test_one_part_replaced_and_a_folder(
    here: Path,
    shop_files: Sequence[object],
    small: Sequence[str],
    run_train: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    from simulators.__main__ import main as simulators

    only_judged = ("--agent", "popularity", "--compare", "pbm", "--logs", here / "logs", "--quiet")
    ended = run_train(
        *small, *shop_files, *only_judged, "--simulator", "run_part:OnlyTheFirstTwo", "--name", "part"
    )
    assert ended.code == 0, ended.err
    assert table_of(here / "logs" / "part")["world"] == "the simulator run_part:OnlyTheFirstTwo"

    assert (
        simulators(["fit", "--simulator", "cascade", "--out", "pbm", *map(str, shop_files), "--quiet"]) == 0
    )
    ended = run_train(*small, *shop_files, *only_judged, "--simulator", "./pbm", "--name", "saved")
    assert ended.code == 0, ended.err
    run = here / "logs" / "saved"
    assert table_of(run)["world"] == "the fitted simulator"
    kept = {path.name for path in (run / "simulators").iterdir() if path.is_dir()}
    assert kept == {"pbm", f"from-{here.as_posix().strip('/').replace('/', '-')}-pbm"}
    about = json.loads((here / "pbm" / "simulator.json").read_text())
    assert about["name"] == "cascade"
    tiny = ("--data", "demo", "--store-size", "tiny", "--store-seed", "3")  # another shop
    ended = run_train(*small, *tiny, *only_judged, "--simulator", "./pbm", "--name", "other")
    assert ended.code == 2
    assert "the simulator knows" in ended.err
    assert "fitted to" in ended.err


def test_names_that_lead_nowhere(here: Path, run_train: Callable[..., Any]) -> None:
    for options, says in (
        (("--simulator", "./nowhere"), ("there is no such folder", "--simulator ./nowhere")),
        (("--simulator-options", "patience"), ("not of the form name=value",)),
        (("--compare", "run_shop:Nobody"), ("has no class 'Nobody'", "--compare run_shop:Nobody")),
    ):
        ended = run_train("--preset", "smoke", *options, "--logs", here / "logs", "--quiet")
        assert ended.code == 2
        assert all(text in ended.err for text in says), ended.err
        assert not (here / "logs").exists() or not list((here / "logs").iterdir())
