"""From a BERT in torch to an ONNX file whose one output is the pooled unit vector."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch

from behavior.errors import InputError
from behavior.files import atomic_folder
from encoders.bert import BertEncoder, pool
from encoders.exporting.onnx_encoder import (
    FORMAT,
    MODEL_FILE,
    NOTE_FILE,
    TOKENISER_FILE,
    OnnxEncoder,
    require,
)

__all__ = ["Precision", "export_onnx"]

Precision = Literal["float32", "int8"]


class _Pooled(torch.nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return pool(self.model, {"input_ids": input_ids, "attention_mask": attention_mask})


def export_onnx(
    encoder: BertEncoder, folder: Path | str, precision: Precision = "float32", *, threads: int = 1
) -> OnnxEncoder:
    """Write `encoder` to `folder`, which appears whole or not at all, and open it.

    Args:
        encoder: What to export.
        folder: Where to.
        precision: 'int8' keeps the weights of all matrix products as bytes, a scale per output channel, and quantises
            what they are multiplied with batch by batch (dynamic quantisation); embeddings, normalisation and softmax
            stay float32.
        threads: Threads of the encoder that is returned.

    Raises:
        InputError: A library is missing, or the tokeniser has no fast (Rust) form.
    """
    for module in ("onnx", "onnxscript", "onnxruntime"):
        require(module, "to export an encoder")
    tokenizer = getattr(encoder.tokenizer, "backend_tokenizer", None)
    if tokenizer is None:
        raise InputError(
            f"the tokeniser of {encoder.name!r} has no fast form, which an export carries",
            where="export_onnx(encoder=...)",
            mend="install the library tokenizers and load the model anew",
        )
    with atomic_folder(Path(folder)) as target:
        with tempfile.TemporaryDirectory(dir=target) as scratch:
            plain = Path(scratch) / MODEL_FILE
            _write(encoder, plain)
            if precision == "int8":
                _quantise(plain, target / MODEL_FILE)
            else:
                plain.rename(target / MODEL_FILE)
        tokenizer.save(str(target / TOKENISER_FILE))
        digests = {
            name: hashlib.sha256((target / name).read_bytes()).hexdigest()
            for name in (MODEL_FILE, TOKENISER_FILE)
        }
        note = {
            "format": FORMAT,
            "precision": precision,
            "width": encoder.width,
            "max_length": encoder.max_length,
            "pad": encoder.tokenizer.pad_token_id or 0,
            "vocabulary": encoder.model.get_input_embeddings().num_embeddings,
            "exported_from": encoder.fingerprint,
            "sha256": digests,
        }
        (target / NOTE_FILE).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    return OnnxEncoder(folder, threads=threads)


def _write(encoder: BertEncoder, path: Path) -> None:
    tokens = encoder.tokenize(["a short text", "and one that is longer"])
    texts, pieces = torch.export.Dim("texts"), torch.export.Dim("pieces")
    model, device = encoder.model, encoder.device
    was_training = model.training
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                _Pooled(model.to("cpu").eval()),
                (),
                kwargs=dict(tokens),
                dynamo=True,
                dynamic_shapes={name: {0: texts, 1: pieces} for name in tokens},
                input_names=list(tokens),
                output_names=["vectors"],
                verbose=False,
            )
            if program is None:  # what the other exporter of torch gives
                raise RuntimeError("torch.onnx.export gave no program")
            program.save(str(path))
    finally:
        model.to(device).train(was_training)


def _quantise(plain: Path, path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            str(plain),
            str(path),
            per_channel=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm"],
            # Products of two activations (attention) stay float32: they are small and sensitive.
            extra_options={"MatMulConstBOnly": True},
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out the exporters' notes about libraries of pictures and their own deprecations."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
