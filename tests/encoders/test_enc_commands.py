from __future__ import annotations

import json
from pathlib import Path

import pytest

from encoders.__main__ import main


def test_evaluate_prints_and_writes_every_measure(model, log, tmp_path: Path, capsys) -> None:
    pytest.importorskip("ir_measures", reason="the extra `relevance` is not installed")
    assert main(["evaluate", "--model", str(model), "--out", str(tmp_path / "found"), *log]) == 0
    shown = capsys.readouterr().out
    for words in (
        "held out of training",
        "held out by time",
        "click AUC",
        "MRR by clicks",
        "by category",
        "NDCG@10 by clicks, head",
    ):
        assert words in shown
    found = json.loads((tmp_path / "found" / "evaluation.json").read_text())
    by_time = {(row["measure"], row["group"]): row for row in found["held_out_by_time"]["rows"]}
    for group in ("all", "head", "torso", "tail"):
        row = by_time["click AUC", group]
        assert row["before"]["low"] <= row["before"]["value"] <= row["before"]["high"]
    assert by_time["click AUC", "all"]["after"]["value"] > 0.6  # the log's clicks follow a truth
    assert {row["measure"] for row in found["held_out_by_query"]["rows"]} >= {
        "NDCG@10 by clicks",
        "MAP by clicks",
    }
    assert found["exposure"]["by category"]["merit"]
    assert (tmp_path / "found" / "reliability.svg").stat().st_size > 1_000
    assert list((tmp_path / "found" / "tensorboard").iterdir())
    assert main(["evaluate", "--model", str(model), "--out", str(tmp_path / "found"), *log]) == 2
    assert "is there already" in capsys.readouterr().err


def test_explain_adds_up(model, log, tmp_path: Path, capsys) -> None:
    pytest.importorskip("captum", reason="the extra `relevance` is not installed")
    wanted = [
        "--query",
        "oak lamp",
        "--top",
        "1",
        "--permutations",
        "2",
        "--json",
        str(tmp_path / "why.json"),
    ]
    assert main(["explain", "--model", str(model), *wanted, *log]) == 0
    assert "adds to the logit" in capsys.readouterr().out
    (found,) = json.loads((tmp_path / "why.json").read_text())
    total = found["item_base"] + sum(share["value"] for share in found["item_words"])
    assert total == pytest.approx(found["logit"], abs=1e-5)
    assert "lamp" in found["item"]
    assert main(["explain", "--model", str(model), "--query", "lamp", "--items", "i9999", *log]) == 2
    assert "no item 'i9999'" in capsys.readouterr().err


def test_only_a_bert_is_exported(model, log, tmp_path: Path, capsys) -> None:
    out = ["--form", "onnx", "--out", str(tmp_path / "onnx")]
    assert main(["export", "--model", str(model), *out, *log]) == 2
    assert "only a BERT can be exported" in capsys.readouterr().err
    assert not (tmp_path / "onnx").exists()


def test_a_folder_that_is_no_model_is_named(log, tmp_path: Path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    for command in (["evaluate"], ["explain", "--query", "lamp"], ["export", "--out", str(tmp_path / "x")]):
        assert main([*command, "--model", str(tmp_path / "empty"), *log]) == 2
        told = capsys.readouterr().err
        assert "no readable relevance model" in told
        assert str(tmp_path / "empty") in told


def test_tables_print_what_stands_in_them(capsys) -> None:
    from encoders.commands.common import print_table

    print_table("[bold] a title :lamp:", ("name",), [("Table [oak] :smile:",), ("+0.2 [no interval]",)])
    shown = capsys.readouterr().out
    for text in ("[bold] a title :lamp:", "Table [oak] :smile:", "+0.2 [no interval]"):
        assert text in shown
