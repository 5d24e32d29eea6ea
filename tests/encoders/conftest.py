"""A small log by hand, and a small shop whose clicks follow a known truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from behavior.catalog import Catalog
from behavior.steps import LoggedSteps


@pytest.fixture(scope="session")
def make_steps():
    def make(query, item, click, purchase=None, queries=("", "a", "b")) -> LoggedSteps:
        item = np.asarray(item, np.int32)
        M, K = item.shape
        nothing = np.full((M, K), np.nan)
        return LoggedSteps(
            session=np.arange(M, dtype=np.int64),
            user=np.arange(M, dtype=np.int64),
            step=np.zeros(M, np.int32),
            query=np.asarray(query, np.int32),
            timestamp=np.arange(M, dtype=np.int64),
            item=item,
            click=np.asarray(click, np.uint8),
            purchase=np.zeros((M, K), np.uint8) if purchase is None else np.asarray(purchase, np.uint8),
            candidates=np.zeros((M, 0), np.int32),
            propensity=nothing,
            cascade_propensity=nothing,
            slate_propensity=np.full(M, np.nan),
            session_end=np.zeros(M, np.int8),
            context=np.zeros((M, 0), np.float32),
            context_names=(),
            queries=tuple(queries),
            single_impressions=False,
        )

    return make


@dataclass(frozen=True)
class Shop:
    catalog: Catalog
    steps: LoggedSteps
    truth: np.ndarray  # (Q, I)


@pytest.fixture(scope="session")
def shop(make_steps) -> Shop:
    """120 items, 27 queries: two of them slang that shares no letters with the titles it means."""
    rng = np.random.default_rng(0)
    nouns, colours = ["shoe", "table", "lamp", "phone", "wallet", "sofa"], ["red", "blue", "oak", "black"]
    titles = [f"{colour} {noun} {n}" for n in range(5) for noun in nouns for colour in colours]
    catalog = Catalog.from_frame(
        pd.DataFrame(
            {
                "item_id": [f"i{n}" for n in range(len(titles))],
                "title": titles,
                "category": [title.split()[1] for title in titles],
                "price": rng.lognormal(3.0, 1.0, len(titles)).round(2),
                "rating": rng.uniform(1.0, 5.0, len(titles)).round(1),
            }
        )
    )
    queries = ["", *(f"{colour} {noun}" for colour in colours for noun in nouns), "gizmo", "kicks"]
    meaning = {"gizmo": "phone", "kicks": "shoe"}
    truth = np.zeros((len(queries), len(titles)), np.float32)
    for q, query in enumerate(queries):
        for i, title in enumerate(titles):
            if query in meaning:
                truth[q, i] = float(meaning[query] in title)
            elif query:
                colour, noun = query.split()
                truth[q, i] = 0.3 * (colour in title) + 0.7 * (noun in title)
    truth[0, ::7] = 0.6  # the recommendation page: every seventh item is liked
    M, K = 4_000, 10
    query = rng.integers(0, len(queries), M)
    item = np.argsort(rng.random((M, len(titles))), axis=1)[:, :K]
    examined = 1.0 / np.arange(1, K + 1) ** 0.7
    click = rng.random((M, K)) < examined * (0.05 + 0.5 * truth[query[:, None], item])
    purchase = click & (rng.random((M, K)) < 0.2)
    return Shop(catalog, make_steps(query, item, click, purchase, queries), truth)


@pytest.fixture(scope="session")
def tiny_bert(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a BERT of two layers and random weights, whose vocabulary is the shop's words."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-bert")
    words = sorted({word for text in (*shop.catalog.titles, *shop.steps.queries) for word in text.split()})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def log(shop, tmp_path_factory) -> list[str]:
    """The small shop's catalogue and log as files, and the options that name them."""
    folder = tmp_path_factory.mktemp("log")
    shop.catalog.frame[["item_id", "title", "category", "price"]].to_csv(folder / "items.csv", index=False)
    steps = shop.steps
    ids = shop.catalog.frame["item_id"].to_numpy()
    rows = [
        {
            "session_id": f"s{m}",
            "user_id": f"u{m % 97}",
            "step": 0,
            "timestamp": f"2024-01-{1 + m // 200:02d}T{m % 24:02d}:{m % 60:02d}:00",
            "query": steps.queries[steps.query[m]],
            "item_id": ids[steps.item[m, k]],
            "position": k,
            "click": int(steps.click[m, k]),
            "purchase": int(steps.purchase[m, k]),
        }
        for m in range(1_500)
        for k in range(6)
    ]
    pd.DataFrame(rows).to_csv(folder / "log.csv", index=False)
    return ["--data", str(folder / "log.csv"), "--catalog", str(folder / "items.csv"), "--quiet"]


@pytest.fixture(scope="session")
def model(log, tmp_path_factory) -> Path:
    """A relevance model on hashed trigrams, fine-tuned on that log."""
    from encoders.__main__ import main

    folder = tmp_path_factory.mktemp("models") / "model"
    assert (
        main(
            [
                "finetune",
                "--encoder",
                "hash",
                "--mode",
                "heads",
                "--heads.steps",
                "20",
                "--out",
                str(folder),
                *log,
            ]
        )
        == 0
    )
    return folder
