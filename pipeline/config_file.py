"""Configurations as YAML: written complete, read back strictly."""

from __future__ import annotations

import dataclasses
import difflib
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml

from behavior.errors import InputError
from pipeline.config import TrainConfig

__all__ = ["config_from_mapping", "config_to_mapping", "differences", "read_config", "write_config"]

_T = TypeVar("_T")


def config_to_mapping(config: Any) -> dict[str, Any]:
    """Nested plain values (paths as text, tuples as lists)."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, Path):
            return value.as_posix()
        if isinstance(value, (tuple, list)):
            return [plain(v) for v in value]
        return value

    mapping: dict[str, Any] = plain(config)
    return mapping


def config_from_mapping(mapping: Any, *, where: str) -> TrainConfig:
    """A configuration from nested plain values; every fault is named with its key."""
    _check_keys(TrainConfig, mapping, where, prefix="")
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(TrainConfig).validate_python(mapping)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{key} = {first['input']!r}: {first['msg'].lower()}",
            where=where,
            mend="set it as `python train.py --help` describes it, or leave it out for its default",
        ) from None


def read_config(path: Path) -> TrainConfig:
    """Read a `config.yaml`."""
    try:
        mapping = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            "there is no such configuration file", where=str(path), mend="check the path"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(
            f"this is not YAML: {error}", where=str(path), mend="start from a run's config.yaml"
        ) from None
    return config_from_mapping(mapping if mapping is not None else {}, where=str(path))


def write_config(config: TrainConfig, path: Path, *, named: Path | None = None) -> None:
    """Write every field, so that the run can be repeated whatever the defaults become.

    Args:
        config: What to write.
        path: Where to.
        named: The path to name in the file's first line, where `path` is only temporary.
    """
    text = yaml.safe_dump(config_to_mapping(config), sort_keys=False, allow_unicode=True)
    path.write_text(f"# python train.py --config {(named or path).as_posix()}\n{text}", encoding="utf-8")


def differences(one: TrainConfig, other: TrainConfig) -> list[str]:
    """The fields in which two configurations differ, as `group.field: a -> b`."""
    a, b = config_to_mapping(one), config_to_mapping(other)
    return [
        f"{group}.{key}: {a[group][key]!r} -> {b[group][key]!r}"
        for group in a
        for key in a[group]
        if a[group][key] != b[group][key]
    ]


def _check_keys(cls: type[Any], mapping: Any, where: str, prefix: str) -> None:
    if not isinstance(mapping, dict):
        raise InputError(
            f"{prefix or 'the file'} holds {type(mapping).__name__}, not `key: value` lines",
            where=where,
            mend="start from a run's config.yaml",
        )
    fields = {f.name for f in dataclasses.fields(cls)}
    hints = get_type_hints(cls)
    for key, value in mapping.items():
        if key not in fields:
            close = difflib.get_close_matches(str(key), sorted(fields), n=1)
            raise InputError(
                f"unknown option {prefix}{key}",
                where=where,
                mend=f"did you mean {prefix}{close[0]}?"
                if close
                else "known here: " + ", ".join(sorted(fields)),
            )
        if dataclasses.is_dataclass(hints[key]):
            _check_keys(hints[key], value, where, prefix=f"{prefix}{key}.")
