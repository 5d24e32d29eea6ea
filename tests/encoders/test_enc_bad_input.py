from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from behavior.errors import InputError
from encoders.bert import BertEncoder
from encoders.finetuning import FinetuneConfig, finetune
from encoders.heads import HeadConfig
from encoders.known_queries import KnownQueriesConfig
from encoders.text import HashEncoder, catalog_texts

QUICK = FinetuneConfig(mode="heads", heads=HeadConfig(steps=3), known=KnownQueriesConfig(steps=3))


@pytest.mark.parametrize(("clicked", "word"), [(0, "no"), (1, "every")])
def test_labels_of_one_class_are_told_and_give_a_usable_model(
    shop, make_steps, clicked: int, word: str
) -> None:
    steps = make_steps(
        shop.steps.query[:200],
        shop.steps.item[:200],
        np.full((200, 10), clicked),
        queries=shop.steps.queries,
    )
    with pytest.warns(UserWarning, match=f"{word} shown item was clicked: nothing can be learned"):
        model, _ = finetune(HashEncoder(), shop.catalog, steps, config=QUICK, progress=False)
    tables = model.tables(shop.catalog, shop.steps.queries, progress=False)
    shown = shop.steps.query[:200]
    vectors = HashEncoder().encode(catalog_texts(shop.catalog)), HashEncoder().encode(shop.steps.queries)
    for q in np.unique(shown[shown > 0]):  # the order is the encoder's own
        score, cosine = tables.item @ tables.click_query[q], vectors[0] @ vectors[1][q]
        assert np.corrcoef(score, cosine)[0, 1] > 0.9999
    everything = np.arange(120, dtype=np.int32)[None]
    rate = tables.click_probability(np.array([3], np.int32), everything)
    assert np.isfinite(rate).all()
    assert (rate.mean() > 0.5) == bool(clicked)


def test_strange_texts_reach_the_tables(make_steps) -> None:
    """Empty, endless, in many scripts: each gets a finite vector, equal ones the same."""
    import pandas as pd

    from behavior.catalog import Catalog

    titles = [
        "",
        "x" * 100_000,
        "🎁🎁🎁",
        "подарок 送り物 هدية",
        "a\u0000b\u200b",
        "word " * 20_000,
        "lamp",
        "lamp",
    ]
    catalog = Catalog.from_frame(
        pd.DataFrame(
            {
                "item_id": [f"i{n}" for n in range(8)],
                "title": titles,
                "category": "",
                "price": 1.0,
            }
        )
    )
    rng = np.random.default_rng(0)
    queries = ("", "lamp", "🎁", "подарок " * 3_000)
    item = np.argsort(rng.random((300, 8)), axis=1)[:, :4]
    steps = make_steps(rng.integers(0, 4, 300), item, rng.random((300, 4)) < 0.3, queries=queries)
    model, _ = finetune(HashEncoder(), catalog, steps, config=QUICK, progress=False)
    tables = model.tables(catalog, queries, progress=False)
    for array in (tables.item, tables.click_query, tables.purchase_query):
        assert np.isfinite(array).all()
    assert np.array_equal(tables.item[6], tables.item[7])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "config.json is missing"),
        ({"config.json": "{}"}, "no usable text model"),
        ({"config.json": "not JSON"}, "no usable text model"),
        ({"config.json": '{"model_type": "bert"}', "model.safetensors": "garbage"}, "no usable text model"),
    ],
)
def test_a_folder_that_is_no_text_model_is_named(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        BertEncoder(tmp_path, device="cpu")
    assert str(tmp_path) in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        BertEncoder(tmp_path / "nothing", device="cpu")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no tokeniser", "none of them of a word"),
        ("more layers", "weights that config.json asks for are missing, such as encoder.layer.2"),
        ("other width", "the weights have other sizes than config.json says"),
    ],
)
def test_a_model_that_is_not_whole_is_refused(
    tiny_bert: Path, tmp_path: Path, damage: str, message: str
) -> None:
    """The library would fill in what is missing at random, or read every text as the same unknown word."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in tiny_bert.iterdir():
        if damage != "no tokeniser" or file.name in ("config.json", "model.safetensors"):
            shutil.copy(file, folder / file.name)
    config = json.loads((folder / "config.json").read_text())
    config |= {"more layers": {"num_hidden_layers": 3}, "other width": {"hidden_size": 8}}.get(damage, {})
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=message) as caught:
        BertEncoder(folder, device="cpu")
    assert str(folder) in str(caught.value)


def test_a_tokeniser_with_far_fewer_pieces_is_warned_of(tiny_bert: Path, tmp_path: Path) -> None:
    from transformers import BertTokenizerFast

    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny_bert / name, folder / name)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nlamp\n")
    BertTokenizerFast(vocab=str(tmp_path / "vocab.txt")).save_pretrained(folder)
    with pytest.warns(UserWarning, match="knows 6 word pieces, the model has vectors for"):
        BertEncoder(folder, device="cpu")


def test_a_relevance_model_is_told_from_the_bert_inside_it(tmp_path: Path) -> None:
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "config.json").write_text("{}")
    with pytest.raises(InputError, match="the BERT of this relevance model is"):
        BertEncoder(tmp_path, device="cpu")


def test_what_filled_the_memory_is_let_go_before_smaller_batches_are_tried() -> None:
    import weakref

    import torch

    from encoders.groups import QueryGroup
    from encoders.tuning.config import TuningConfig
    from encoders.tuning.memory import refuse_batch

    held: list[weakref.ref[torch.Tensor]] = []
    tried: list[int] = []

    class Module(torch.nn.Module):
        def forward(self, size: int) -> dict[str, torch.Tensor]:
            tried.append(size)
            if held[0]() is not None:  # as where there is room for nothing besides
                raise MemoryError
            return {"loss": torch.zeros((), requires_grad=True)}

    def step() -> None:
        activations = torch.zeros(8)
        held.append(weakref.ref(activations))
        raise MemoryError

    groups = [QueryGroup(query=n, items=(0,)) for n in range(8)]
    try:
        step()
    except MemoryError as error:
        with pytest.raises(InputError, match="queries_per_batch 4 fits; with accumulate 2"):
            refuse_batch(
                Module(),
                lambda some: {"size": len(some)},
                groups,
                TuningConfig(queries_per_batch=8),
                torch.device("cpu"),
                error,
            )
    assert tried == [4]
