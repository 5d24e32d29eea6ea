"""Queries as their writers meant them: a misspelt word is read as the catalogue's word that it is nearest to.

A word piece model reads "runing sheos" letter by letter and finds nothing of running shoes in it. A word is taken for
misspelt if neither the catalogue nor the text encoder's own dictionary has it, and a word of the catalogue that begins
with the same letter is one edit away (two, for long words): a letter left out, put in, exchanged, or two neighbours
turned round (optimal string alignment; Damerau, "A technique for computer detection and correction of spelling
errors", 1964). Four of five misspellings are one such edit, and the first letter is seldom wrong. Anything else is left
as it is written: a word that nobody knows may be the shop's own slang, which clicks explain (`encoders.known_queries`).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from encoders.text import TextEncoder, catalog_texts

if TYPE_CHECKING:
    from behavior.catalog import Catalog

__all__ = ["Speller", "known_words", "read_as"]

_WORD = re.compile(r"[^\W\d_]+")
_SHORTEST = 4  # shorter words have too many neighbours
_LONG = 9  # from here on two edits


class Speller:
    """Puts misspelt words right.

    Args:
        texts: Texts whose words are right, and are what others are corrected to: the catalogue's.
        known: Further words that are right, in lower case: the text encoder's dictionary.
    """

    def __init__(self, texts: Iterable[str], known: Collection[str] = ()) -> None:
        self._count: Counter[str] = Counter()
        for text in texts:
            self._count.update(_WORD.findall(text.lower()))
        self._known = frozenset(known)
        by_letter: defaultdict[str, list[str]] = defaultdict(list)
        for word in sorted(self._count):
            if len(word) >= _SHORTEST - 1:
                by_letter[word[0]].append(word)
        self._by_letter = dict(by_letter)
        self._memory: dict[str, str] = {}

    def word(self, word: str) -> str:
        """`word` in lower case, or what it was meant to be."""
        if word not in self._memory:
            self._memory[word] = self._corrected(word)
        return self._memory[word]

    def text(self, text: str) -> str:
        """`text` with its misspelt words put right; all else stays as it is, to the letter."""

        def put_right(match: re.Match[str]) -> str:
            word = match.group().lower()
            meant = self.word(word)
            return match.group() if meant == word else meant

        return _WORD.sub(put_right, text)

    def _corrected(self, word: str) -> str:
        if len(word) < _SHORTEST or word in self._count or word in self._known:
            return word
        from rapidfuzz.distance import OSA
        from rapidfuzz.process import extract

        near = extract(
            word,
            self._by_letter.get(word[0], ()),
            scorer=OSA.distance,
            score_cutoff=1 if len(word) < _LONG else 2,
            limit=None,
        )
        # The nearest, then the most frequent in the catalogue, then the first in the alphabet.
        best = min(near, key=lambda found: (found[1], -self._count[found[0]], found[0]), default=None)
        return word if best is None else str(best[0])


def known_words(encoder: TextEncoder) -> frozenset[str]:
    """Whole words in the dictionary of the encoder's tokeniser, in lower case; empty where it has none.

    Word pieces that only go on with a word are left out: `##` before them marks those of WordPiece, and the others
    than the ones after `▁` or `Ġ` are those of SentencePiece and of byte-level tokenisers.
    """
    pieces: Collection[str] = getattr(encoder, "pieces", ())
    for mark in ("▁", "Ġ"):
        begins = [piece[1:] for piece in pieces if piece.startswith(mark)]
        if begins:
            return frozenset(word.lower() for word in begins if _WORD.fullmatch(word))
    return frozenset(piece.lower() for piece in pieces if _WORD.fullmatch(piece))


def read_as(
    encoder: TextEncoder, catalog: Catalog, columns: Sequence[str], queries: Sequence[str]
) -> list[str]:
    """`queries` as `encoder` is to read them.

    An encoder without a dictionary, such as one of letters, reads them as they are written: it could not tell a
    misspelt word from a rare one.

    Args:
        encoder: The text encoder.
        catalog: The catalogue.
        columns: Its columns that stand for an item; its descriptions are taken to be spelt rightly, too.
        queries: Query texts.
    """
    known = known_words(encoder)
    if not known:
        return list(queries)
    texts = catalog_texts(catalog, columns)
    texts += catalog.frame["text"].fillna("").astype(str).tolist() if "text" in catalog.frame else []
    speller = Speller(texts, known)
    return [speller.text(query) for query in queries]
