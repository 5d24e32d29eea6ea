"""Regressors of fitted Q evaluation that are refitted in every round."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.fqe.config import FqeConfig, Regressor

__all__ = ["NetworkRegressor", "make_regressor"]


def make_regressor(config: FqeConfig) -> Regressor:
    """A fresh regressor; the same settings give the same one."""
    if callable(config.regressor):
        return config.regressor()
    if config.regressor == "network":
        return NetworkRegressor(seed=config.seed)
    from sklearn.ensemble import HistGradientBoostingRegressor

    made: Regressor = HistGradientBoostingRegressor(
        max_iter=100, learning_rate=0.1, max_leaf_nodes=15, min_samples_leaf=20, random_state=config.seed
    )
    return made


class NetworkRegressor:
    """Two hidden layers on standardised features, by Adam on mini-batches; a `fit` goes on from the last one's weights.

    Args:
        width: Units of each layer.
        epochs: Passes over the rows in a fit.
        batch_size: Rows in a mini-batch.
        learning_rate: Of Adam.
        weight_decay: Decoupled weight decay.
        seed: Of the first weights and of the batches.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        epochs: int = 5,
        batch_size: int = 256,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-3,
        seed: int = 0,
    ) -> None:
        self.width, self.epochs, self.batch_size = width, epochs, batch_size
        self.learning_rate, self.weight_decay, self.seed = learning_rate, weight_decay, seed
        self._net: Any = None

    def fit(
        self, features: NDArray[np.float64], target: NDArray[np.float64], sample_weight: Any = None
    ) -> NetworkRegressor:
        """Learns `target` (m,) from `features` (m, D), rows weighed by `sample_weight` (m,)."""
        import torch
        from torch.nn import functional

        generator = torch.Generator().manual_seed(self.seed)
        if self._net is None:
            self._begin(features, target, generator)
        x, y = self._scaled(features), torch.from_numpy((target - self._level) / self._unit).float()
        w = (
            torch.ones(len(target))
            if sample_weight is None
            else torch.from_numpy(np.asarray(sample_weight)).float()
        )
        optimiser = torch.optim.AdamW(
            self._net.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        for _ in range(self.epochs):
            order = torch.randperm(len(target), generator=generator)
            for rows in torch.split(order, self.batch_size):
                loss = (
                    w[rows]
                    * functional.huber_loss(self._net(x[rows])[:, 0], y[rows], reduction="none", delta=5.0)
                ).mean()
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                optimiser.step()
        return self

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) of `features` (n, D)."""
        import torch

        with torch.no_grad():
            out = [self._net(part)[:, 0] for part in torch.split(self._scaled(features), 65_536)]
        return np.asarray(torch.cat(out).double().numpy() * self._unit + self._level, np.float64)

    def _begin(self, features: NDArray[np.float64], target: NDArray[np.float64], generator: Any) -> None:
        import torch
        from torch import nn

        spread = features.std(axis=0)
        self._mean, self._inverse = (
            features.mean(axis=0),
            np.where(spread > 1e-9, 1 / np.maximum(spread, 1e-9), 0.0),
        )
        self._level, self._unit = float(target.mean()), float(target.std()) or 1.0
        sizes = (features.shape[1], self.width, self.width, 1)
        layers: list[nn.Module] = []
        for n_in, n_out in itertools.pairwise(sizes):
            layer = nn.Linear(n_in, n_out, device="meta").to_empty(device="cpu")
            with torch.no_grad():
                bound = n_in**-0.5
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.zero_()
            layers += [layer, nn.ReLU()]
        self._net = nn.Sequential(*layers[:-1])

    def _scaled(self, features: NDArray[np.float64]) -> Any:
        import torch

        return torch.from_numpy(((features - self._mean) * self._inverse).clip(-10, 10)).float()
