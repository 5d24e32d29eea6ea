"""`docs/your-own-logs.md` is kept true: its files pass, and it names every rule, column and repair there is."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from behavior.__main__ import main
from behavior.schema import CANDIDATE_CELLS, CATALOG_RULES, LOG_CELLS
from behavior.schema_log import candidate_relations, log_relations
from behavior.vocabulary import CANDIDATE_COLUMNS, CATALOG_COLUMNS, LOG_COLUMNS, REPAIRS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "your-own-logs.md").read_text(encoding="utf-8")
WORDS = re.sub(r"[`*]", "", PAGE)


def test_the_files_of_the_page_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log, products = re.findall(r"```csv\n(.*?)```", PAGE, re.DOTALL)
    (columns,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "my").mkdir()
    for name, text in (("clicks.csv", log), ("products.csv", products), ("columns.yaml", columns)):
        (tmp_path / "my" / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^python -m behavior (.*)$", PAGE, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        assert main(command.split()) == 0
    assert "valid: 8 rows, 4 steps, 3 sessions, 4 items" in capsys.readouterr().out


def test_every_column_and_repair_is_described() -> None:
    for name in (*CATALOG_COLUMNS, *LOG_COLUMNS, *CANDIDATE_COLUMNS, *REPAIRS):
        assert f"`{name}`" in PAGE


def test_every_rule_is_in_the_tables() -> None:
    log = pd.DataFrame({"session_id": ["s"], "step": [0]})
    rules = [*CATALOG_RULES, *LOG_CELLS, *CANDIDATE_CELLS, *candidate_relations(log, catalog=None)]
    rules += log_relations(single_impressions=False, catalog=None)
    rules += log_relations(single_impressions=True, catalog=None)
    lacking = set()
    for rule in rules:
        expected = rule.expected.replace(f"the same '{rule.column}' as", "the same as")
        if expected not in WORDS and expected not in ("a session", "an item"):  # told as an empty cell
            lacking.add((rule.column, expected))
    assert lacking == set()
