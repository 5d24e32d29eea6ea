"""Which words of the shop's titles shoppers replace by which others."""

from __future__ import annotations

from store.vocabulary.looks import COLORS
from store.vocabulary.product_types import PRODUCT_TYPES

__all__ = ["synonyms_of_titles"]


def synonyms_of_titles() -> dict[str, tuple[str, ...]]:
    """Names of product types and colours, in lower case, with what shoppers say in their place.

    Slang is left out: it is no synonym that a dictionary knows.
    """
    found = {kind.name.lower(): kind.synonyms for kind in PRODUCT_TYPES if kind.synonyms}
    for name, (_, words) in COLORS.items():
        for word in words:
            others = tuple(dict.fromkeys(other for other in (name.lower(), *words) if other != word))
            if others:
                found.setdefault(word, others)
    return found
