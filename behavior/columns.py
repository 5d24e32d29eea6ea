"""The mapping from our column names to those of the user's files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from behavior.errors import InputError
from behavior.faults import suggest
from behavior.vocabulary import CANDIDATE_COLUMNS, CATALOG_COLUMNS, CONTEXT_PREFIX, LOG_COLUMNS

__all__ = ["CatalogColumns", "ColumnMap", "LogColumns", "read_columns"]


def _no_names() -> dict[str, str]:
    return {}


def _no_lists() -> dict[str, tuple[str, ...]]:
    return {}


@dataclass(frozen=True, kw_only=True)
class CatalogColumns:
    """How a catalogue file names its columns."""

    names: Mapping[str, str] = field(default_factory=_no_names)
    """Our name to theirs, for `item_id`, `title`, `text`, `category`, `price`."""
    joined: Mapping[str, tuple[str, ...]] = field(default_factory=_no_lists)
    """Our name to several of theirs (`*` allowed), joined in that order; for `title`, `text` and `category`."""
    numeric: tuple[str, ...] | None = None
    """Their names (`*` allowed) of further numeric features; None: all that are numbers."""
    categorical: tuple[str, ...] | None = None
    """Their names (`*` allowed) of further categorical features; None: all with few distinct values."""
    price_scale: float = 1.0
    """Prices are multiplied by this; .01 where the file holds cents."""


@dataclass(frozen=True, kw_only=True)
class LogColumns:
    """How a log file names its columns."""

    names: Mapping[str, str] = field(default_factory=_no_names)
    """Our name to theirs; `context_<name>` is free to choose."""
    single_impressions: bool = False
    """Each row is one impression whose page cannot be regrouped; `session_id`, `step` may be missing then."""


@dataclass(frozen=True, kw_only=True)
class ColumnMap:
    """Everything a mapping file says."""

    catalog: CatalogColumns = field(default_factory=CatalogColumns)
    """Of the catalogue."""
    log: LogColumns = field(default_factory=LogColumns)
    """Of the log."""
    candidates: Mapping[str, str] = field(default_factory=_no_names)
    """Of the companion table of candidates: our name to theirs."""

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], source: str = "columns") -> ColumnMap:
        """From the content of a mapping file.

        Raises:
            InputError: A section, name or value that means nothing here; the nearest that does is named.
        """
        _known(content, [f.name for f in fields(cls)], source)
        for name, section in content.items():
            if not isinstance(section, Mapping):
                raise InputError(
                    f"section '{name}' holds {section!r}, expected `our_name: your_name` lines",
                    where=source,
                    mend=f"write `{name}:` and beneath it, indented, one `our_name: your_name` a line",
                )
        return cls(
            catalog=_catalog(content.get("catalog", {}), source),
            log=_log(content.get("log", {}), source),
            candidates=_names(content.get("candidates", {}), list(CANDIDATE_COLUMNS), source, "candidates"),
        )


def read_columns(path: Path | str) -> ColumnMap:
    """Read a mapping file (YAML or JSON): `{catalog: {our_name: their_name}, log: {our_name: their_name}}`.

    Raises:
        InputError: The file is missing, is not YAML or JSON, or holds names that mean nothing here.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except FileNotFoundError:
        raise InputError(
            "the mapping file does not exist", where=str(path), mend="check the path given with --columns"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"the mapping file cannot be read: {error}", where=str(path), mend="save it as UTF-8 text"
        ) from error
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise InputError(
            f"the mapping file is neither YAML nor JSON: {' '.join(str(error).split())}",
            where=str(path),
            mend="see docs/your-own-logs.md for one that works",
        ) from error
    if not isinstance(content, Mapping):
        raise InputError(
            f"the mapping file holds {content!r}, expected the sections `catalog:` and `log:`",
            where=str(path),
            mend="see docs/your-own-logs.md for one that works",
        )
    return ColumnMap.from_dict(content, str(path))


def _known(content: Mapping[str, Any], known: list[str], where: str, prefix: str = "") -> None:
    for name in content:
        if name not in known and not (prefix and str(name).startswith(prefix)):
            raise InputError(
                f"'{name}' is not a name of ours. {suggest(str(name), known)}".rstrip(),
                where=where,
                mend=f"write our name first, then yours; ours are: {', '.join(known)}"
                + (f", {prefix}<anything>" if prefix else ""),
            )


def _names(
    content: Mapping[str, Any], known: list[str], source: str, section: str, prefix: str = ""
) -> dict[str, str]:
    where = f"{source}, section '{section}'"
    _known(content, known, where, prefix)
    for name, value in content.items():
        if not isinstance(value, str | int):
            raise InputError(
                f"'{name}' is mapped to {value!r}, expected the name of one of your columns",
                where=where,
                mend=f"write `{name}: your_column`",
            )
    return {str(name): str(value) for name, value in content.items()}


def _log(content: Mapping[str, Any], source: str) -> LogColumns:
    single = content.get("single_impressions", False)
    if not isinstance(single, bool):
        raise InputError(
            f"'single_impressions' is {single!r}, expected true or false",
            where=f"{source}, section 'log'",
            mend="write `single_impressions: true` or leave the line out",
        )
    rest = {name: value for name, value in content.items() if name != "single_impressions"}
    return LogColumns(
        names=_names(rest, list(LOG_COLUMNS), source, "log", CONTEXT_PREFIX), single_impressions=single
    )


def _catalog(content: Mapping[str, Any], source: str) -> CatalogColumns:
    where = f"{source}, section 'catalog'"
    options = ("numeric", "categorical", "price_scale")
    _known(content, [*CATALOG_COLUMNS, *options], where)
    scale = content.get("price_scale", 1.0)
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not scale > 0:
        raise InputError(
            f"'price_scale' is {scale!r}, expected a number above 0",
            where=where,
            mend="write `price_scale: 0.01` where prices are in cents, or leave the line out",
        )
    joined: dict[str, tuple[str, ...]] = {}
    for name in ("title", "text", "category"):
        if isinstance(content.get(name), list | tuple):
            joined[name] = _list(content[name], name, where)
    single = {name: v for name, v in content.items() if name not in options and name not in joined}
    return CatalogColumns(
        names=_names(single, list(CATALOG_COLUMNS), source, "catalog"),
        joined=joined,
        numeric=_list(content["numeric"], "numeric", where) if "numeric" in content else None,
        categorical=_list(content["categorical"], "categorical", where) if "categorical" in content else None,
        price_scale=float(scale),
    )


def _list(value: Any, name: str, where: str) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not all(isinstance(v, str) for v in values):
        raise InputError(
            f"'{name}' is {value!r}, expected names of your columns",
            where=where,
            mend=f"write `{name}: [first_column, second_column]`",
        )
    return tuple(values)
