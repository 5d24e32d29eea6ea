"""The embedded demo store: a generated shop with a known true user, a behaviour policy and a log."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from store.behavior_policy import BehaviorPolicy
    from store.config import StoreConfig
    from store.icecat import load_icecat
    from store.shop import HELD_OUT_USERS, Store, open_store
    from store.stock import stock_store
    from store.true_user import TrueUser, TrueUserConfig

__all__ = [
    "HELD_OUT_USERS",
    "BehaviorPolicy",
    "Store",
    "StoreConfig",
    "TrueUser",
    "TrueUserConfig",
    "load_icecat",
    "open_store",
    "stock_store",
]

_HOMES = {
    "HELD_OUT_USERS": "store.shop",
    "BehaviorPolicy": "store.behavior_policy",
    "Store": "store.shop",
    "StoreConfig": "store.config",
    "TrueUser": "store.true_user",
    "TrueUserConfig": "store.true_user",
    "load_icecat": "store.icecat",
    "open_store": "store.shop",
    "stock_store": "store.stock",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
