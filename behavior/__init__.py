"""Logged behaviour: the catalogue, the log, their readers, their validation, and the log as arrays."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from behavior.catalog import Catalog
    from behavior.columns import CatalogColumns, ColumnMap, LogColumns, read_columns
    from behavior.dataset import Dataset, load
    from behavior.errors import InputError
    from behavior.log import InteractionLog
    from behavior.readers.open_bandit import read_open_bandit
    from behavior.readers.tables import ICECAT_COLUMNS, read_catalog, read_log
    from behavior.split import TimeSplit, split_steps_by_time
    from behavior.steps import LoggedSteps, SessionEnd
    from behavior.summary import LogSummary

__all__ = [
    "ICECAT_COLUMNS",
    "Catalog",
    "CatalogColumns",
    "ColumnMap",
    "Dataset",
    "InputError",
    "InteractionLog",
    "LogColumns",
    "LogSummary",
    "LoggedSteps",
    "SessionEnd",
    "TimeSplit",
    "load",
    "read_catalog",
    "read_columns",
    "read_log",
    "read_open_bandit",
    "split_steps_by_time",
]

_HOME = {
    "Catalog": "catalog",
    "CatalogColumns": "columns",
    "ColumnMap": "columns",
    "Dataset": "dataset",
    "ICECAT_COLUMNS": "readers.tables",
    "InputError": "errors",
    "InteractionLog": "log",
    "LogColumns": "columns",
    "LogSummary": "summary",
    "LoggedSteps": "steps",
    "SessionEnd": "steps",
    "TimeSplit": "split",
    "load": "dataset",
    "read_catalog": "readers.tables",
    "read_columns": "columns",
    "read_log": "readers.tables",
    "read_open_bandit": "readers.open_bandit",
    "split_steps_by_time": "split",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'behavior' has no attribute {name!r}")
    return getattr(import_module(f"behavior.{_HOME[name]}"), name)
