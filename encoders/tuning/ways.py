"""What of a pretrained network learns, and how fast: all of it, its last layers, adapters, or the head alone."""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import torch

from behavior.errors import InputError
from encoders.tuning.config import TuningConfig

__all__ = ["layers_of", "merged", "parameter_groups", "prepared"]


def layers_of(bert: Any) -> list[torch.nn.Module]:
    """The transformer layers of a Hugging Face encoder, lowest first, whatever its family calls them."""
    n = getattr(bert.config, "num_hidden_layers", None) or getattr(bert.config, "n_layers", 0)
    for module in bert.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == n:
            return list(module)
    raise InputError(
        f"found no list of {n} layers in a {type(bert).__name__}",
        where="TuningConfig.way",
        mend="way 'all', 'lora' or 'head'",
    )


def prepared(bert: Any, config: TuningConfig) -> Any:
    """`bert` with the weights frozen that are not to learn; for 'lora', wrapped with adapters.

    The pooler is always frozen: mean pooling does not pass through it.
    """
    if config.dropout is not None:
        for module in bert.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = config.dropout
    if config.way == "lora":
        if importlib.util.find_spec("peft") is None:
            raise InputError("LoRA needs the library peft", mend="pip install -e '.[bert]'")
        from peft import LoraConfig, get_peft_model

        adapters = LoraConfig(
            r=config.lora_rank,
            lora_alpha=2 * config.lora_rank,
            lora_dropout=0.05 if config.dropout is None else config.dropout,
            target_modules="all-linear",
            exclude_modules=r".*pooler.*",
        )
        with warnings.catch_warnings():
            # It still asks transformers by a name that is about to go.
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
            return get_peft_model(bert, adapters)
    learning = config.way == "all"
    for name, parameter in bert.named_parameters():
        parameter.requires_grad_(learning and "pooler" not in name)
    if config.way == "last":
        layers = layers_of(bert)
        if not 1 <= config.last_layers <= len(layers):
            raise InputError(
                f"last_layers is {config.last_layers}, the model has {len(layers)} layers",
                where="TuningConfig.last_layers",
                mend=f"a number from 1 to {len(layers)}",
            )
        for layer in layers[-config.last_layers :]:
            layer.requires_grad_(True)
    return bert


def merged(bert: Any, config: TuningConfig) -> Any:
    """The plain network back, adapters added into its weights."""
    plain = bert.merge_and_unload() if config.way == "lora" else bert
    plain.requires_grad_(False)
    return plain


def parameter_groups(module: torch.nn.Module, bert: Any, config: TuningConfig) -> list[dict[str, Any]]:
    """Groups for AdamW: the head at its own rate, each layer of `bert` at its own, no decay on vectors.

    Args:
        module: Everything that learns; `bert` is a part of it.
        bert: The network, as `prepared` gave it.
        config: The rates.
    """
    inside = {id(parameter) for parameter in bert.parameters()}
    depth: dict[int, int] = {}  # of each parameter: how many layers lie above it
    if config.layer_decay != 1.0:
        layers = layers_of(bert)
        for parameter in bert.parameters():
            depth[id(parameter)] = len(layers)  # embeddings, unless found in a layer
        for number, layer in enumerate(layers):
            for parameter in layer.parameters():
                depth[id(parameter)] = len(layers) - 1 - number
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for parameter in module.parameters():
        if not parameter.requires_grad:
            continue
        if id(parameter) in inside:
            rate = config.learning_rate * config.layer_decay ** depth.get(id(parameter), 0)
        else:
            rate = config.head_learning_rate
        decay = config.weight_decay if parameter.dim() >= 2 and id(parameter) in inside else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": found, "lr": rate, "weight_decay": decay} for (rate, decay), found in groups.items()]
