from __future__ import annotations

import re

import pytest

from store.vocabulary import BRANDS, COLORS, PRODUCT_TYPES, SIZES, ProductType


def words(*texts: str) -> set[str]:
    return {word for text in texts for word in re.findall(r"\w+", text.lower())}


@pytest.mark.parametrize("spec", PRODUCT_TYPES, ids=lambda spec: spec.name)
def test_no_synonym_can_share_a_word_with_a_title_of_its_kind(spec: ProductType) -> None:
    """Whatever the seed: titles are made of these words, a series name and a promotion."""
    title = words(
        spec.name,
        *spec.materials,
        *spec.attributes,
        *SIZES[spec.size],
        *COLORS,
        *(b.name for b in BRANDS),
        "by in hot deal as seen on tv limited edition bestseller must have",
    )
    assert not words(*spec.synonyms) & title
