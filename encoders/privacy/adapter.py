"""The few weights that are learned in private: a low-rank change of the text vectors, scales, and a pull of positions.

With `x` a raw unit vector of width `D` and `B` (D, w) directions taken from the catalogue's texts alone (public),

    z = unit(x + B M B^T x)                     M (w, w), zero at first: the zero-shot model
    click_logit    = a 10 z_query . z_item + b + e_position
    purchase_logit = c 10 z_query . z_item + d

so `w * w` numbers are learned in place of the `D * D` of a full projection: the noise that hides a person grows with
the root of their count. The position's pull `e` is learned along with them, in private too, and left out of what is
exported.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.privacy.users import UserPairs
from encoders.relevance import Heads

__all__ = ["Adapter", "Batch", "make_batch", "public_basis", "user_losses"]

_GAIN = 10.0  # of the cosine, so that the scale to be learned is about one
_TEMPERATURE = 0.1  # of the softmax over items


def public_basis(item: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """The `width` strongest directions (D, w) of the catalogue's vectors (I, D), orthonormal."""
    _, _, directions = np.linalg.svd(item - item.mean(axis=0), full_matrices=False)
    return np.ascontiguousarray(directions[:width].T, np.float32)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What `B` people saw, and items they are contrasted with; `B^T x` and cosines are all of the texts it needs."""

    query: torch.Tensor  # (B, P, w)
    item: torch.Tensor  # (B, P, w)
    contrast: torch.Tensor  # (B, N, w) catalogue items drawn at random
    cosine: torch.Tensor  # (B, P, 1 + N) of raw vectors: a query with the item shown, and with the contrast
    position: torch.Tensor  # (B, P)
    click: torch.Tensor  # (B, P)
    purchase: torch.Tensor  # (B, P)
    known: torch.Tensor  # (B, P)


def make_batch(
    pairs: UserPairs,
    rows: NDArray[np.int64],
    item: NDArray[np.float32],
    query: NDArray[np.float32],
    basis: NDArray[np.float32],
    *,
    n_contrast: int,
    rng: np.random.Generator,
) -> Batch:
    """The people at `rows`, with their items and queries out of `item` (I, D) and `query` (Q, D) seen by `basis`."""
    part = pairs.take(rows)
    drawn = rng.integers(item.shape[0], size=(len(rows), n_contrast))
    asked, shown, other = query[part.query], item[part.item], item[drawn]  # (B, P, D), (B, P, D), (B, N, D)
    own = (asked * shown).sum(axis=2, keepdims=True)
    return Batch(
        query=torch.from_numpy(asked @ basis),
        item=torch.from_numpy(shown @ basis),
        contrast=torch.from_numpy(other @ basis),
        cosine=torch.from_numpy(np.concatenate([own, asked @ other.transpose(0, 2, 1)], axis=2)),
        position=torch.from_numpy(part.position),
        click=torch.from_numpy(part.click),
        purchase=torch.from_numpy(part.purchase),
        known=torch.from_numpy(part.known),
    )


class Adapter(torch.nn.Module):
    """The weights, out of layers whose gradient Opacus can tell apart by example.

    Args:
        basis: (D, w) orthonormal, from public texts.
        slate_size: Positions of a page.
    """

    basis: torch.Tensor

    def __init__(self, basis: NDArray[np.float32], slate_size: int) -> None:
        super().__init__()
        self.register_buffer("basis", torch.from_numpy(basis))
        width = basis.shape[1]
        self.mix = torch.nn.Linear(width, width, bias=False)
        self.click = torch.nn.Linear(1, 1)
        self.buy = torch.nn.Linear(1, 1)
        self.place = torch.nn.Embedding(slate_size, 1)
        with torch.no_grad():
            self.mix.weight.zero_()
            self.place.weight.zero_()
            for layer, scale, bias in ((self.click, 0.5, -4.0), (self.buy, 0.2, -2.0)):
                layer.weight.fill_(scale)
                layer.bias.fill_(bias)

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Click and purchase logits (B, P), and cosines (B, P, 1 + N) of each query, its item first.

        The adapted vectors are never written out: with `u = B^T x` and `v = M u`, whose `B` has unit columns,
        `(x + B v) . (y + B v') = x . y + u . v' + v . u' + v . v'`.
        """
        q, i, c = batch.query, batch.item, batch.contrast
        v, v_own, v_other = self.mix(q), self.mix(i), self.mix(c)
        own = (q * v_own + v * (i + v_own)).sum(-1, keepdim=True) / _length(i, v_own)[:, :, None]  # (B, P, 1)
        raw = batch.cosine[:, :, :1] / _length(i, v_own)[:, :, None]
        other = (batch.cosine[:, :, 1:] + q @ v_other.transpose(1, 2) + v @ (c + v_other).transpose(1, 2)) / (
            _length(c, v_other)[:, None, :]
        )
        cosine = torch.cat([raw + own, other], dim=2) / _length(q, v)[:, :, None]
        scaled = _GAIN * cosine[:, :, :1]
        click = self.click(scaled) + self.place(batch.position)
        return click[..., 0], self.buy(scaled)[..., 0], cosine

    def heads(self) -> Heads:
        """The weights as `Heads`, at the first position; the empty query has no preference."""
        basis = self.basis.numpy()
        D = basis.shape[0]
        mix = self.mix.weight.detach().numpy()
        ones = np.ones(D, np.float32)
        scale = [float(layer.weight.detach()) * _GAIN for layer in (self.click, self.buy)]
        bias = [float(layer.bias.detach()) for layer in (self.click, self.buy)]
        return Heads(
            projection=np.eye(D, dtype=np.float32) + basis @ mix.T @ basis.T,
            # Scales below these would turn the order round: noise alone must not do that.
            click_weight=ones * np.float32(max(scale[0], 1.0)),
            purchase_weight=ones * np.float32(max(scale[1], 0.0)),
            bias=np.array([bias[0] + float(self.place.weight.detach()[0]), bias[1]]),
            empty_click=np.zeros(D + 1, np.float32),
            empty_purchase=np.zeros(D + 1, np.float32),
        )


def _length(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Length (B, n) of `x + B v` for a unit `x` with `B^T x = u`."""
    return (1.0 + (2.0 * u * v + v * v).sum(-1)).clamp(min=1e-6).sqrt()


def user_losses(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """One loss per person (B,): their clicks and purchases (logistic), and the softmax of what they clicked.

    The softmax is over the clicked item and the contrast, not over what else was on the page: one person's page says
    more of positions than of relevance. Every person counts alike, however much they did.
    """
    click, buy, cosine = model(batch)
    logistic = torch.nn.functional.binary_cross_entropy_with_logits
    shown = batch.known.sum(1).clamp(min=1.0)  # (B,)
    clicked = batch.click * batch.known
    n_clicked = clicked.sum(1).clamp(min=1.0)
    pointwise = (logistic(click, batch.click, reduction="none") * batch.known).sum(1) / shown
    purchase = (logistic(buy, batch.purchase, reduction="none") * clicked).sum(1) / n_clicked
    surprise = -torch.log_softmax(cosine / _TEMPERATURE, dim=-1)[..., 0]  # (B, P)
    return pointwise + 0.1 * purchase + (surprise * clicked).sum(1) / n_clicked
