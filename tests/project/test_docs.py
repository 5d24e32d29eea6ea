"""Links in the docs lead somewhere, and the modules that they tell people to run exist."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md"), ROOT / "logs" / "README.md"])


def _id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    broken = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_commands_exist(page: Path) -> None:
    modules = set(
        re.findall(
            r"python -m ((?:benchmarks|behavior|encoders|simulators|evaluation|store)[\w.]*)(?![\w.<])",
            page.read_text(),
        )
    )
    missing = []
    for module in modules:
        name = module.rstrip(".")
        spec = importlib.util.find_spec(name)
        if spec is None or (
            spec.submodule_search_locations and importlib.util.find_spec(f"{name}.__main__") is None
        ):
            missing.append(name)
    assert missing == []


def test_make_targets_named_in_the_docs_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {
        target
        for page in PAGES
        for block in re.findall(r"```.*?```|`make [a-z-]+`", page.read_text(encoding="utf-8"), re.DOTALL)
        for target in re.findall(r"^`?make ([a-z][a-z-]*)", block.replace("```", ""), re.MULTILINE)
    }
    assert named
    assert named <= targets


def test_make_help_lists_every_public_target() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("train", "test", "check", "format", "bench", "docs", "clean"):
        assert f"make {target}" in shown
