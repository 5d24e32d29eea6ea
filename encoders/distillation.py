"""Distillation: a small encoder that gives a large one's vectors for this shop's kind of text, many times faster.

Two kinds of pupil, both in the teacher's own space, so that vectors of teacher and pupil can be compared (the few
queries by the teacher, the many items by the pupil):

- `static`: a vector for every word piece, added up (`encoders.static.StaticEncoder`). It starts from the teacher's
  vectors of the single pieces, weighted down where they are common (Arora, Liang, Ma, "A simple but tough-to-beat
  baseline for sentence embeddings", ICLR 2017), so that it knows something of words the shop never wrote.
- `layers`: the teacher with fewer layers (`encoders.bert.BertEncoder`).

Both learn from texts alone, no clicks:

    mean(1 - cos(pupil, teacher)) + KL(softmax(teacher's cosines / T) || softmax(pupil's cosines / T))

over batches of the shop's titles, queries, and runs of words out of the titles that stand for queries not yet asked.
The second term is that of Fang et al., "SEED: Self-supervised distillation", ICLR 2021: what ranks is kept.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from behavior.errors import InputError
from encoders.bert import BertEncoder, pool
from encoders.cache import EmbeddingCache, encode_cached
from encoders.static import StaticEncoder

__all__ = ["DistilConfig", "distil", "distillation_loss", "word_runs"]

_COMMON = 1e-3  # of all pieces: one as common as this counts half


@dataclass(frozen=True, kw_only=True)
class DistilConfig:
    """The pupil, and how it learns."""

    kind: Literal["static", "layers"] = "static"
    """'static' adds up vectors of word pieces; 'layers' keeps some of the teacher's layers."""
    layers: tuple[int, ...] = (0, 2)
    """Layers that kind 'layers' keeps, counted from 0."""
    epochs: int = 5
    """Times that every text is seen."""
    learning_rate: float | None = None
    """Of Adam, falling to a fiftieth; None: 5e-3 for 'static', 5e-4 for 'layers'."""
    batch_size: int = 128
    """Texts in a batch; among them the cosines are compared."""
    temperature: float = 0.05
    """Of both softmaxes."""
    runs_per_item: int = 2
    """Runs of one to three words drawn from every item text, as queries not yet asked."""
    seed: int = 0
    """Seed of the runs and of the order."""


def distil(
    teacher: BertEncoder,
    items: Sequence[str],
    queries: Sequence[str],
    config: DistilConfig | None = None,
    *,
    cache: EmbeddingCache | None = None,
    progress: bool = True,
) -> StaticEncoder | BertEncoder:
    """A pupil of `teacher`.

    Args:
        teacher: The encoder to follow, fine-tuned or not; it stays as it is.
        items: Item texts (I).
        queries: Queries that may be learned from.
        config: Which pupil, and how it learns.
        cache: Where the teacher's vectors are kept.
        progress: Show bars.

    Raises:
        InputError: No text, or layers that the teacher lacks.
    """
    config = config or DistilConfig()
    runs = word_runs(items, config.runs_per_item, seed=config.seed)
    texts = list(dict.fromkeys(text for text in [*items, *queries, *runs] if text.strip()))
    if not texts:
        raise InputError("there is no text to learn from", where="distil(items=..., queries=...)")
    target = torch.from_numpy(encode_cached(teacher, texts, cache, progress=progress))  # (n, D)
    if config.kind == "layers":
        return _distil_layers(teacher, texts, target, config, progress)
    return _distil_static(teacher, texts, target, config, cache, progress)


def word_runs(texts: Sequence[str], per_text: int, *, seed: int) -> list[str]:
    """Runs of one to three neighbouring words of each text, in lower case, without repeats."""
    rng = np.random.default_rng(seed)
    found = []
    for text in texts:
        words = [word.strip(".,;:()").lower() for word in text.split()]
        words = [word for word in words if any(letter.isalnum() for letter in word)]
        for _ in range(per_text if words else 0):
            length = min(int(rng.integers(1, 4)), len(words))
            first = int(rng.integers(len(words) - length + 1))
            found.append(" ".join(words[first : first + length]))
    return list(dict.fromkeys(found))


def distillation_loss(pupil: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Loss of unit vectors (n, D) beside the teacher's: distance, and what a softmax over neighbours loses."""
    distance = 1.0 - (pupil * teacher).sum(1).mean()
    if pupil.shape[0] < 2:
        return distance
    own = torch.eye(pupil.shape[0], dtype=torch.bool)
    mine = torch.log_softmax((pupil @ pupil.T / temperature).masked_fill(own, -1e9), dim=1)  # (n, n)
    theirs = torch.log_softmax((teacher @ teacher.T / temperature).masked_fill(own, -1e9), dim=1)
    return distance + torch.nn.functional.kl_div(mine, theirs, reduction="batchmean", log_target=True)


def _distil_static(
    teacher: BertEncoder,
    texts: list[str],
    target: torch.Tensor,
    config: DistilConfig,
    cache: EmbeddingCache | None,
    progress: bool,
) -> StaticEncoder:
    vocabulary = sorted(teacher.tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    alone = encode_cached(
        teacher, [piece.removeprefix("##") for piece, _ in vocabulary], cache, progress=progress
    )
    blank = StaticEncoder(alone, teacher.tokenizer, max_length=teacher.max_length)
    pieces = [torch.tensor(numbers) for numbers in blank.numbers(texts)]
    counts = np.bincount(torch.cat(pieces).numpy(), minlength=len(alone))
    weight = _COMMON / (_COMMON + counts / counts.sum())
    table = torch.from_numpy(alone * weight[:, None].astype(np.float32))  # (V, D)
    used = torch.from_numpy(np.flatnonzero(counts))
    place = torch.zeros(len(alone), dtype=torch.int64)
    place[used] = torch.arange(len(used))
    pieces = [place[numbers] for numbers in pieces]
    learned = torch.nn.Parameter(table[used].clone())  # pieces that no text has stay as they are

    def encode(rows: NDArray[np.int64]) -> torch.Tensor:
        flat = torch.cat([pieces[row] for row in rows])
        starts = torch.tensor([0, *np.cumsum([len(pieces[row]) for row in rows])[:-1].tolist()])
        summed = torch.nn.functional.embedding_bag(flat, learned, starts, mode="sum")
        return torch.nn.functional.normalize(summed, dim=1)

    order = np.zeros(len(texts))  # any batch will do: nothing is padded
    _train(encode, [learned], target, order, config, 5e-3, progress)
    table[used] = learned.detach()
    return StaticEncoder(table.numpy(), teacher.tokenizer, max_length=teacher.max_length)


def _distil_layers(
    teacher: BertEncoder, texts: list[str], target: torch.Tensor, config: DistilConfig, progress: bool
) -> BertEncoder:
    layers = getattr(getattr(teacher.model, "encoder", None), "layer", None)
    if layers is None or not config.layers or max(config.layers) >= len(layers) or min(config.layers) < 0:
        raise InputError(
            f"layers {config.layers} of a model with {'no list of' if layers is None else len(layers)} layers",
            where="DistilConfig.layers",
            mend="numbers from 0 of layers that the teacher has, or kind 'static'",
        )
    pupil = copy.copy(teacher)
    pupil.model = copy.deepcopy(teacher.model)
    pupil.model.encoder.layer = torch.nn.ModuleList([pupil.model.encoder.layer[n] for n in config.layers])
    pupil.model.config.num_hidden_layers = len(config.layers)

    def encode(rows: NDArray[np.int64]) -> torch.Tensor:
        tokens = pupil.tokenize([texts[row] for row in rows])
        return pool(pupil.model, {name: values.to(pupil.device) for name, values in tokens.items()})

    # Without dropout: the target has no noise, and the pupil is too small to fit it.
    pupil.model.eval()
    lengths = np.array([len(text) for text in texts], np.float64)
    _train(encode, list(pupil.model.parameters()), target.to(pupil.device), lengths, config, 5e-4, progress)
    pupil.weights_changed()
    return pupil


def _train(
    encode: Callable[[NDArray[np.int64]], torch.Tensor],
    parameters: list[torch.nn.Parameter],
    target: torch.Tensor,
    length: NDArray[np.float64],
    config: DistilConfig,
    default_rate: float,
    progress: bool,
) -> None:
    """Adam over batches of texts of about the same `length` (n,), in an order drawn anew each time."""
    rng = np.random.default_rng([config.seed, 1])
    rate = default_rate if config.learning_rate is None else config.learning_rate
    optimiser = torch.optim.Adam(parameters, lr=rate)
    n_batches = -(-len(length) // config.batch_size)
    schedule = torch.optim.lr_scheduler.LinearLR(
        optimiser, start_factor=1.0, end_factor=0.02, total_iters=max(1, config.epochs * n_batches)
    )
    spread = float(length.std()) or 1.0
    bar = tqdm(
        total=config.epochs * n_batches, desc="distil", leave=False, disable=None if progress else True
    )
    with bar:
        for _ in range(config.epochs):
            # A little noise, so that the batches are not the same every time.
            order = np.argsort(length + rng.normal(0.0, 0.3 * spread, len(length)), kind="stable")
            batches = np.array_split(order, n_batches)
            for number in rng.permutation(n_batches):
                rows = batches[number]
                loss = distillation_loss(encode(rows), target[rows], config.temperature)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
                bar.update()
