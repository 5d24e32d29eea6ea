"""Settings of a simulator as a person types them, `name=value`, made into the arguments of its class."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from behavior.errors import InputError

__all__ = ["read_options", "typed_options"]

OPTION = "--simulator-options"
"""What the command lines call them."""


def read_options(pairs: Sequence[str]) -> dict[str, str]:
    """`name=value` as typed, by name.

    Raises:
        InputError: A text without "=" or a name, or a name given twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise InputError(
                f"{pair!r} is not of the form name=value", where=OPTION, mend="such as patience=0.7"
            )
        if name in found:
            raise InputError(f"{name} is given twice", where=OPTION, mend="give it once")
        found[name] = value
    return found


def typed_options(factory: Callable[..., Any], options: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """`options` as keyword arguments of `factory`: a text is read as the type that the parameter is annotated with.

    A parameter without an annotation takes the type of its default, or the text itself; lists are written as in
    JSON. What is not a text is handed on as it is.

    Args:
        factory: A class or function.
        options: Values by parameter name.
        where: What messages name.

    Raises:
        InputError: A name that `factory` does not take, or a text that is not of the parameter's type.
    """
    if not options:
        return {}
    try:
        parameters = dict(inspect.signature(factory, eval_str=True).parameters)
    except NameError:  # annotations that only a type checker can see
        parameters = dict(inspect.signature(factory).parameters)
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    named = {
        name: p
        for name, p in parameters.items()
        if p.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        and name != "inputs"
    }
    found: dict[str, Any] = {}
    for name, value in options.items():
        if name in named:
            found[name] = _typed(named[name], value, where) if isinstance(value, str) else value
        elif open_ended:
            found[name] = value
        else:
            near = difflib.get_close_matches(name, named, 1)
            raise InputError(
                f"it takes no option {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
                where=where,
                mend=f"its options are: {', '.join(named)}" if named else "it takes no options at all",
            )
    return found


def _typed(parameter: inspect.Parameter, text: str, where: str) -> Any:
    from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

    kind: Any = parameter.annotation
    if kind is parameter.empty or isinstance(kind, str):
        kind = str if parameter.default in (parameter.empty, None) else type(parameter.default)
    try:
        adapter = TypeAdapter(kind)
    except PydanticSchemaGenerationError:  # a class of its own: it makes of the text what it likes
        return text
    try:
        return adapter.validate_json(text) if text[:1] in ("[", "{") else adapter.validate_strings(text)
    except ValidationError as error:
        raise InputError(
            f"{parameter.name}={text}: {error.errors()[0]['msg'].lower()}",
            where=where,
            mend=f"give a value of type {inspect.formatannotation(kind)}",
        ) from None
