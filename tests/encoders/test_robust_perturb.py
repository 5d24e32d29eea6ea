from __future__ import annotations

import numpy as np
import pytest

from behavior.errors import InputError
from encoders.robustness import drop_words, misspell, perturb, stuff, swap_synonyms


def edits(a: str, b: str) -> int:
    """Optimal string alignment: insertions, deletions, replacements and swaps of neighbours."""
    d = np.zeros((len(a) + 1, len(b) + 1), int)
    d[:, 0], d[0] = np.arange(len(a) + 1), np.arange(len(b) + 1)
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            d[i, j] = min(d[i - 1, j] + 1, d[i, j - 1] + 1, d[i - 1, j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                d[i, j] = min(d[i, j], d[i - 2, j - 2] + 1)
    return int(d[-1, -1])


@pytest.mark.parametrize("seed", range(20))
def test_a_slip_is_one_edit_of_one_word(seed: int) -> None:
    words = ["extendable", "oak", "dining", "table"]
    got = perturb([" ".join(words)], misspell(), seed=seed)[0].split()
    distance = [edits(a, b) for a, b in zip(words, got, strict=True)]
    assert sorted(distance) == [0, 0, 0, 1]
    assert distance[1] == 0  # "oak" is too short to be mistyped
    assert [word[0] for word in got] == [word[0] for word in words]


def test_two_words_are_mistyped_where_there_are_two() -> None:
    got = perturb(["walnut bookcase", "sofa", "tv"], misspell(2), seed=1)
    assert [sum(a != b for a, b in zip(["walnut", "bookcase"], got[0].split(), strict=True))] == [2]
    assert got[1] != "sofa"
    assert got[2] == "tv"


def test_slips_of_all_four_kinds_come_about_equally_often() -> None:
    texts = ["lamp"]
    lengths = [len(perturb(texts, misspell(), seed=seed)[0]) - 4 for seed in range(2000)]
    # One in four drops a letter, one in four doubles one; swaps and neighbours keep the length.
    assert np.mean(np.array(lengths) == -1) == pytest.approx(0.25, abs=0.05)
    assert np.mean(np.array(lengths) == 1) == pytest.approx(0.25, abs=0.05)


def test_a_text_changes_alike_whatever_stands_beside_it() -> None:
    texts = ["red leather wallet", "", "oak dining table", "  ", "подарок для друга 🎁"]
    for change in (misspell(), drop_words(), stuff(["sofa", "lamp", "rug"], 2)):
        whole = perturb(texts, change, seed=3)
        assert whole == [perturb([text], change, seed=3)[0] for text in texts]
        assert (whole[1], whole[3]) == ("", "  ")
        assert whole != perturb(texts, change, seed=4)


def test_words_are_dropped_and_one_stays() -> None:
    assert perturb(["sofa"], drop_words(3), seed=0) == ["sofa"]
    got = {perturb(["red oak table"], drop_words(), seed=s)[0] for s in range(40)}
    assert got == {"oak table", "red table", "red oak"}
    assert {perturb(["red oak table"], drop_words(9), seed=s)[0] for s in range(40)} == {
        "red",
        "oak",
        "table",
    }


def test_synonyms_replace_whole_phrases_longest_first() -> None:
    change = swap_synonyms({"table": ["desk"], "dining table": ["dinner furniture"], "red": ["crimson"]})
    assert perturb(["Red dining table", "redder tables"], change, seed=0) == [
        "crimson dinner furniture",
        "redder tables",
    ]
    with pytest.raises(InputError, match="no synonyms"):
        swap_synonyms({"table": []})


def test_stuffed_words_are_distinct_and_at_the_end() -> None:
    got = perturb(["Oak Table"], stuff(["a1", "b2", "c3", "b2"], 3), seed=0)[0]
    assert got.startswith("Oak Table ")
    assert sorted(got.split()[2:]) == ["a1", "b2", "c3"]
    with pytest.raises(InputError, match="4 words"):
        stuff(["a1", "b2", "c3", "b2"], 4)
