"""Fine-tuning that keeps what people did to themselves: with noise by person, or without moving any log."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from encoders.privacy.federated import (
        FederatedConfig,
        Shop,
        check_flower,
        federate,
        shops_of,
        update_adapter,
    )
    from encoders.privacy.finetuning import finetune_private
    from encoders.privacy.private import PrivacyConfig, PrivacyReport, new_adapter, promise, train_adapter
    from encoders.privacy.users import UserPairs, pairs_by_user

_HOME = {
    "FederatedConfig": "federated",
    "PrivacyConfig": "private",
    "PrivacyReport": "private",
    "Shop": "federated",
    "UserPairs": "users",
    "check_flower": "federated",
    "federate": "federated",
    "finetune_private": "finetuning",
    "new_adapter": "private",
    "pairs_by_user": "users",
    "promise": "private",
    "shops_of": "federated",
    "train_adapter": "private",
    "update_adapter": "federated",
}

__all__ = [
    "FederatedConfig",
    "PrivacyConfig",
    "PrivacyReport",
    "Shop",
    "UserPairs",
    "check_flower",
    "federate",
    "finetune_private",
    "new_adapter",
    "pairs_by_user",
    "promise",
    "shops_of",
    "train_adapter",
    "update_adapter",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'encoders.privacy' has no attribute {name!r}")
    value = getattr(import_module(f"encoders.privacy.{_HOME[name]}"), name)
    globals()[name] = value
    return value
