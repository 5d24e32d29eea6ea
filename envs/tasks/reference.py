"""From the JSON of `python -m benchmarks.tasks` to the reference returns that the tasks' documentation shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from behavior.errors import InputError
from behavior.files import atomic_path
from envs.tasks.registry import SUITE

__all__ = ["reference_rows", "write_reference"]

_POLICIES = (
    "random",
    "popularity",
    "relevance",
    "mmr",
    "constant slate",
    "score direction",
    "longest session",
    "myopic",
    "belief",
    "planning",
)
_SHARES = ("planning gap", "personalisation gap", "out of reach by hidden state")


def write_reference(benchmark: Path, kept: Path) -> list[str]:
    """Put what `benchmark` measured into `kept`; tasks that it does not speak of stay. Gives the ids of those it does.

    Raises:
        InputError: `benchmark` is no such JSON, or lacks a figure.
    """
    found = reference_rows(_read(benchmark), where=str(benchmark))
    before: dict[str, Any] = _read(kept) if kept.is_file() else {}
    both = before | found
    text = json.dumps({task: both[task] for task in SUITE if task in both}, indent=1) + "\n"
    with atomic_path(kept) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return list(found)


def reference_rows(measured: Mapping[str, Any], *, where: str) -> dict[str, list[dict[str, Any]]]:
    """Task id to rows {kind, name, value, low, high, share}: scores of policies, then shares.

    Raises:
        InputError: The JSON is of another benchmark, or lacks a figure.
    """
    if measured.get("benchmark") != "tasks" or not isinstance(measured.get("cases"), list):
        raise InputError(
            f"this is no result of the benchmark of tasks (benchmark: {measured.get('benchmark')!r})",
            where=where,
            mend="give what `python -m benchmarks.tasks --json FILE` wrote",
        )
    cases = {case.get("case"): case for case in measured["cases"] if isinstance(case, dict)}
    out = {}
    for task in SUITE:
        short = task.split("-")[1]
        if f"{short}: random" in cases:
            out[task] = _rows_of(short, cases, where)
    if not out:
        raise InputError(
            "no task of the suite is in it",
            where=where,
            mend="measure one with `python -m benchmarks.tasks --task Boredom --json FILE`",
        )
    return out


def _rows_of(short: str, cases: Mapping[Any, Any], where: str) -> list[dict[str, Any]]:
    def figure(name: str, field: str) -> float:
        try:
            return float(cases[f"{short}: {name}"][field])
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"the case '{short}: {name}' has no {field}",
                where=where,
                mend="measure the task again, with this version",
            ) from None

    def interval(name: str) -> dict[str, float]:
        return {field: figure(name, field) for field in ("value", "low", "high")}

    share = {"random": 0.0, "planning": 1.0}
    scores = [
        {"kind": "score", "name": name, **interval(name)}
        | {"share": share[name] if name in share else figure(f"{name}, share of gap", "value")}
        for name in _POLICIES
    ]
    return scores + [{"kind": "share", "name": name, **interval(name), "share": None} for name in _SHARES]


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError("there is no such file", where=str(path), mend="check the path") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            f"cannot be read as JSON: {error}", where=str(path), mend="give a JSON file"
        ) from error
    if not isinstance(found, dict):
        raise InputError("this JSON is not one object", where=str(path), mend="give a benchmark's own file")
    return found
