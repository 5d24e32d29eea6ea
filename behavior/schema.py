"""What a catalogue and a log must be, as rules that pandera checks; every fault is found before any is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from behavior.faults import Fault
from behavior.parse import as_number, as_utc, flag_or_nan
from behavior.vocabulary import REPAIRS

__all__ = ["CANDIDATE_CELLS", "CATALOG_RULES", "LOG_CELLS", "Rule", "find_faults"]

Holds = Callable[[pd.DataFrame], pd.Series]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that must hold in every row."""

    column: str
    """The column the fault is shown in; without the column, the rule is not checked."""
    expected: str
    """What must stand there."""
    holds: Holds
    """Table to one bool a row. Missing cells are passed over (`required` is their rule)."""
    mend: str = ""
    """What to do."""
    required: bool = False
    """No cell may be missing."""
    about_missing: bool = False
    """Missing cells are judged by `holds`, too."""


def find_faults(frame: pd.DataFrame, rules: Sequence[Rule], labels: Mapping[str, str]) -> list[Fault]:
    """Check all rules and name every cell that breaks one.

    Args:
        frame: The table under our column names; its index counts the file's data rows from 0.
        rules: What must hold.
        labels: Our column name to the file's own.
    """
    import pandera.pandas as pa

    columns: dict[str, pa.Column] = {}
    for name in dict.fromkeys(rule.column for rule in rules if rule.column in frame):
        mine = [(number, rule) for number, rule in enumerate(rules) if rule.column == name]
        checks = [_check(str(number), _good_rows(rule, frame)) for number, rule in mine]
        columns[name] = pa.Column(None, checks=checks, nullable=not any(rule.required for _, rule in mine))
    try:
        pa.DataFrameSchema(columns).validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
    else:
        return []
    faults = []
    for name, check, row in zip(cases["column"], cases["check"], cases["index"], strict=True):
        label = labels.get(name, name)
        if check == "not_nullable":
            expected, mend = "a value", f"fill in the empty cells of '{label}', or leave out these rows"
            found = "nothing"
        else:
            rule = rules[int(check)]
            expected, mend = rule.expected, rule.mend
            value = frame[name].loc[row]
            found = "nothing" if pd.isna(value) else repr(_plain(value))
        faults.append(
            Fault(
                row=int(row) + 1,
                column=label,
                ours="" if label == name else name,
                found=found,
                expected=expected,
                mend=mend,
            )
        )
    return faults


def _check(name: str, good: pd.Series) -> Any:
    import pandera.pandas as pa

    return pa.Check(lambda _: good, error=name, ignore_na=False)


def _good_rows(rule: Rule, frame: pd.DataFrame) -> pd.Series:
    good = rule.holds(frame).astype(bool)
    return good if rule.about_missing else good | frame[rule.column].isna()


def _plain(value: object) -> object:
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    if isinstance(value, np.generic):
        return value.item()
    return value


def _whole_number(column: str) -> Holds:
    def holds(frame: pd.DataFrame) -> pd.Series:
        value = as_number(frame[column]).to_numpy(np.float64)
        with np.errstate(invalid="ignore"):  # what is infinite has no remainder, and is no whole number
            whole = np.isfinite(value) & (np.mod(value, 1) == 0) & (np.abs(value) < 2**31)
        return pd.Series(whole, index=frame.index)

    return holds


def _not_negative(column: str) -> Holds:
    # what is no number at all is told by the rule about numbers
    return lambda frame: ~(as_number(frame[column]) < 0)


def _count(column: str) -> Holds:
    whole, not_negative = _whole_number(column), _not_negative(column)
    return lambda frame: whole(frame) & not_negative(frame)


def _number(column: str) -> Holds:
    return lambda frame: pd.Series(np.isfinite(as_number(frame[column])), index=frame.index)


def _flag(column: str) -> Holds:
    return lambda frame: flag_or_nan(frame[column]).notna()


def _probability(column: str) -> Holds:
    def holds(frame: pd.DataFrame) -> pd.Series:
        number = as_number(frame[column])
        return (number > 0) & (number <= 1)

    return holds


def _session_end(frame: pd.DataFrame) -> pd.Series:
    return (
        frame["session_end"]
        .astype("str")
        .str.strip()
        .str.lower()
        .isin(("left", "limit", "unknown", "no", ""))
    )


def _first_of_its_kind(frame: pd.DataFrame) -> pd.Series:
    return ~frame["item_id"].astype("str").str.strip().duplicated()


_INTEGER_MEND = "write whole numbers only"
_PROBABILITY_MEND = (
    "a shown item had a probability above 0: correct the column, or leave the cell empty if unknown"
)

CATALOG_RULES: tuple[Rule, ...] = (
    Rule(
        column="item_id",
        expected="an id of its own (this one stands in an earlier row)",
        holds=_first_of_its_kind,
        mend="keep one row per product",
        required=True,
    ),
    Rule(
        column="price",
        expected="a number",
        holds=_number("price"),
        mend="write prices as plain numbers (1234.50, no currency), empty where unknown",
    ),
    Rule(
        column="price",
        expected="a price of at least 0",
        holds=_not_negative("price"),
        mend="leave the cell empty where the price is unknown",
    ),
)
"""Cells of a catalogue."""

LOG_CELLS: tuple[Rule, ...] = (
    Rule(
        column="session_id",
        expected="a session",
        holds=lambda frame: frame["session_id"].notna(),
        required=True,
    ),
    Rule(column="item_id", expected="an item", holds=lambda frame: frame["item_id"].notna(), required=True),
    Rule(
        column="timestamp",
        expected="an ISO 8601 date and time, or a number of seconds (ms, µs, ns) since 1970",
        holds=lambda frame: as_utc(frame["timestamp"]).notna(),
        mend="write times as 2026-01-31T13:45:00+00:00",
        required=True,
    ),
    *(
        rule
        for name in ("step", "position")
        for rule in (
            Rule(
                column=name,
                expected="a whole number",
                holds=_whole_number(name),
                mend=_INTEGER_MEND,
                required=True,
            ),
            Rule(
                column=name,
                expected="a number of at least 0",
                holds=_not_negative(name),
                mend=f"count '{name}' from 0",
            ),
        )
    ),
    Rule(
        column="click",
        expected="0 or 1",
        holds=_flag("click"),
        mend="one row per shown item: 1 where it was clicked, 0 where it was not",
        required=True,
    ),
    Rule(
        column="purchase",
        expected="0 or 1",
        holds=_flag("purchase"),
        mend="one row per shown item: 1 where it was bought, 0 where it was not",
        required=True,
    ),
    *(
        Rule(
            column=name, expected="a probability in (0, 1]", holds=_probability(name), mend=_PROBABILITY_MEND
        )
        for name in ("propensity", "cascade_propensity", "slate_propensity")
    ),
    *(
        rule
        for name in ("dwell_seconds", "price")
        for rule in (
            Rule(
                column=name,
                expected="a number",
                holds=_number(name),
                mend=f"write '{name}' as plain numbers, empty where unknown",
            ),
            Rule(
                column=name,
                expected="a number of at least 0",
                holds=_not_negative(name),
                mend=f"leave '{name}' empty where unknown",
            ),
        )
    ),
    Rule(
        column="session_end",
        expected="left, limit or unknown",
        holds=_session_end,
        mend="leave the cell empty where you do not know how the session ended",
    ),
)
"""Cells of a log, each for itself."""

CANDIDATE_CELLS: tuple[Rule, ...] = (
    Rule(
        column="session_id",
        expected="a session",
        holds=lambda frame: frame["session_id"].notna(),
        required=True,
    ),
    Rule(column="item_id", expected="an item", holds=lambda frame: frame["item_id"].notna(), required=True),
    *(
        Rule(
            column=name,
            expected="a whole number of at least 0",
            holds=_count(name),
            mend=_INTEGER_MEND,
            required=True,
        )
        for name in ("step", "rank")
    ),
)
"""Cells of the table of candidates."""


def repair_hint(name: str) -> str:
    """How to ask for a repair."""
    return f"ask for the repair '{name}' (--repairs {name}): {REPAIRS[name]}"
