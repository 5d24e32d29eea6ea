"""The packages are flat, so their names could be taken by something else that is installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = PROJECT["tool"]["setuptools"]["packages"]
ROOMS = [
    "behavior",
    "encoders",
    "simulators",
    "envs",
    "agents",
    "evaluation",
    "store",
    "pipeline",
    "benchmarks",
]


@pytest.mark.parametrize("room", [*ROOMS, "train"])
def test_each_room_resolves_to_this_checkout(room: str) -> None:
    spec = importlib.util.find_spec(room)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(ROOT)


def test_every_package_is_listed_by_name() -> None:
    found = {
        p.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for room in ROOMS
        for p in (ROOT / room).rglob("__init__.py")
    }
    assert found == set(PACKAGES)


def test_the_project_is_never_uploaded() -> None:
    assert "Private :: Do Not Upload" in PROJECT["project"]["classifiers"]


def test_no_package_marker_in_tests() -> None:
    # `tests/envs/__init__.py` would be imported in place of `envs`
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_no_root_module_hides_a_library() -> None:
    assert not {"datasets", "evaluate", "tokenizers"} & {p.stem for p in ROOT.iterdir()}


def test_importing_envs_is_light() -> None:
    code = (
        "import sys, envs, simulators, agents, behavior, encoders, evaluation\n"
        "heavy = {'torch', 'stable_baselines3', 'pandera', 'sklearn', 'transformers'} & set(sys.modules)\n"
        "sys.exit(' '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_names_a_machine_of_ours() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    this = Path(__file__).name
    needles = ["/" + "work/", "/" + "opt/", "/" + "root/"]
    guilty = [
        name
        for name in listed.stdout.split()
        if not name.endswith(this)
        and (ROOT / name).is_file()
        and any(n in (ROOT / name).read_text(encoding="utf-8", errors="ignore") for n in needles)
    ]
    assert guilty == []
