"""`help()` of every estimator says what it computes, when it is right and where it comes from."""

from __future__ import annotations

import inspect
import re

import pytest

from evaluation import estimators

NAMES = [
    name
    for name in estimators.__all__
    if inspect.isfunction(getattr(estimators, name))
    and "Estimate" in str(getattr(estimators, name).__annotations__.get("return"))
    and name != "ratio_estimate"  # makes estimators; is none
]


def test_the_estimators_are_found() -> None:
    assert {"ips", "dr", "sniips", "cascade_dr", "pseudo_inverse", "pdis", "session_dr", "mips"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_formula_assumptions_inputs_and_source_are_told(name: str) -> None:
    told = inspect.getdoc(getattr(estimators, name)) or ""
    elsewhere = re.search(r"as\s+for\s+`(\w+)`", told)
    assert re.search(r"`[^`]*(mean|sum)[^`]*`|as\s+for", told), "a formula"
    assert elsewhere or re.search(r"(?i)unbiased|consistent|biased|right", told), "when it is right"
    assert elsewhere or "Args:" in told, "its inputs"
    whole = told + (inspect.getdoc(getattr(estimators, elsewhere[1], None)) or "" if elsewhere else "")
    assert re.search(r"(19|20)\d\d", whole) or name in ("dm", "slate_dm"), "a source"
