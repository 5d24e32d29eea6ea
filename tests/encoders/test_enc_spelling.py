"""Misspelt words of queries are read as the catalogue's; words that somebody knows are left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders import HashEncoder, RelevanceModel
from encoders.relevance import Heads
from encoders.spelling import Speller, known_words, read_as

TITLES = ("Running Shoes, 42", "running shoe cream", "Bedside Lamp", "Espadrilles in Blue", "Travel Crib")


class Dictionary(HashEncoder):
    """An encoder with word pieces."""

    pieces = ("sneakers", "crab", "##sho", "feast", "[CLS]", "a1")


@pytest.fixture
def speller() -> Speller:
    return Speller(TITLES, {"sneakers", "crab"})


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("runing sheos", "running shoes"),  # a letter left out; two turned round
        ("Bdside laamp!", "bedside lamp!"),  # capital letters; a letter too many; what is no word stays
        ("esadriles 42", "espadrilles 42"),  # two edits in a long word
        ("crab", "crab"),  # one edit from crib, but a word of its own
        ("sneakers", "sneakers"),
        ("zepple", "zepple"),  # nobody's word: perhaps slang
        ("hoes", "hoes"),  # another first letter
        ("lmp", "lmp"),  # too short to tell
        ("", ""),
    ],
)
def test_words_are_read_as_meant(speller: Speller, written: str, meant: str) -> None:
    assert speller.text(written) == meant


def test_nearest_then_most_frequent_word_is_taken() -> None:
    speller = Speller(["stool stool stoop", "table"])
    assert speller.word("stooo") == "stool"  # both one edit away
    assert Speller(["stool stoop stoop"]).word("stooo") == "stoop"
    assert Speller(["stoop stool"]).word("stooo") == "stool"  # as frequent: the first in the alphabet


@given(st.text(max_size=40))
def test_right_texts_and_foreign_ones_pass_unchanged(text: str) -> None:
    speller = Speller([*TITLES, text], {"sneakers"})
    assert speller.text(text) == text
    once = Speller(TITLES).text(text)
    assert Speller(TITLES).text(once) == once


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (("shoe", "##s", "lamp", "[PAD]", "7", "Bed"), {"shoe", "lamp", "bed"}),
        (("▁shoe", "s", "▁lamp", "<s>", "▁7"), {"shoe", "lamp"}),
        (("Ġshoe", "s", "Ġlamp"), {"shoe", "lamp"}),
    ],
)
def test_dictionary_of_each_kind_of_tokeniser(pieces: tuple[str, ...], words: set[str]) -> None:
    encoder = HashEncoder()
    encoder.pieces = pieces  # type: ignore[attr-defined]
    assert known_words(encoder) == words


def test_encoder_without_dictionary_reads_what_is_written(shop: Any) -> None:
    queries = ["runing sheos"]
    assert known_words(HashEncoder()) == frozenset()
    assert read_as(HashEncoder(), shop.catalog, ("title",), queries) == queries


def test_model_scores_a_misspelt_query_as_the_right_one(shop: Any) -> None:
    heads = Heads.plain(64, click_scale=1.0, purchase_scale=1.0, bias=(0.0, 0.0))
    strict, kind = (RelevanceModel(Dictionary(), heads, spelling=on) for on in (False, True))
    assert strict.fingerprint != kind.fingerprint
    assert kind.read(shop.catalog, ["red walet"]) == ["red wallet"]
    right, same = kind.tables(shop.catalog, ["red wallet", "red walet"], progress=False).click_query
    assert np.array_equal(right, same)
    right, other = strict.tables(shop.catalog, ["red wallet", "red walet"], progress=False).click_query
    assert not np.array_equal(right, other)
