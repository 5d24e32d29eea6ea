"""A recurrent click model: reads the slate and the session, and says how likely the next click is.

A GRU goes over the shown items of a session in the order in which a reader from the top would meet them, page
after page. At each item it gets the logit of a click there by a position-based model fitted beforehand (its
attractiveness a table or from features), the position, whether the item before was clicked, and with features the
item's row; to the logit it adds what the clicks so far have to do with it, at first nothing. The likelihood is
exact: the chances given the clicks above multiply to that of the page, given the session's pages before. The chance
before anything of the page is known is a sum over the clicks above: all of them on pages of up to six positions,
else the mean over 64 drawn ones.

Source: Borisov, Markov, de Rijke, Serdyukov, "A neural click model for web search", WWW 2016.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm

from simulators.clicks.ascent import one_thread
from simulators.clicks.config import ClickFitConfig
from simulators.clicks.fitted import FittedClickModel, FittedLaw, Prediction
from simulators.clicks.laws import NEVER, Chance, coin
from simulators.clicks.pages import ClickPages

__all__ = ["FittedReader", "SlateReader", "fit_neural"]

_ENUMERATE = 6  # positions up to which all click vectors are summed over
_DRAWS = 64
_MEMORY = 20  # pages after which the state is begun anew: memory and time of a long session are bounded
_BATCH = 32
_LEARNING_RATE = 1e-2
_CALM = 3  # epochs of Adam are noisier than stretches of L-BFGS: as many times the patience
_FOLDED = 8  # width to which feature rows are folded
_FLAGS = 4  # logit, shown, clicked before, first of its page


class SlateReader(nn.Module):
    """The network: from what is known of an item and the state to a logit.

    Args:
        n_positions: K.
        n_columns: Width of the feature rows; 0 for tables.
        hidden: Width of the state.
    """

    def __init__(self, n_positions: int, n_columns: int, hidden: int) -> None:
        super().__init__()
        self.fold = nn.Linear(n_columns, _FOLDED, bias=False) if n_columns else None
        self.gru = nn.GRU(_FLAGS + n_positions + (_FOLDED if n_columns else 0), hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)
        self.slope = nn.Parameter(torch.ones(()))
        self.place = nn.Parameter(torch.zeros(n_positions))
        nn.init.zeros_(self.head.weight)  # it begins as its base
        nn.init.zeros_(self.head.bias)

    def forward(
        self, logit: Tensor, rows: Tensor | None, flags: Tensor, position: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits (b, L) of a click given all before, and the last state (1, b, H).

        Args:
            logit: (b, L) of the base, 0 where nothing is shown.
            rows: (b, L, P) standardised, or None.
            flags: (b, L, 3) shown, clicked before, first of its page.
            position: (b, L).
            state: (1, b, H), zeros by default.
        """
        place = nn.functional.one_hot(position, len(self.place)).to(logit.dtype)
        parts = [logit[..., None], flags, place]
        if self.fold is not None:
            assert rows is not None
            parts.append(self.fold(rows))
        out, last = self.gru(torch.cat(parts, -1), state)
        return self.slope * logit + self.place[position] + self.head(out)[..., 0], last


@dataclass(frozen=True)
class _Sessions:
    """Pages laid out as sessions: row numbers of pages (S, T), -1 behind the end, and what the network reads."""

    page: Tensor  # (S, T)
    logit: Tensor  # (M, K)
    rows: Tensor | None  # (M, K, P)
    shown: Tensor  # (M, K)
    click: Tensor  # (M, K)

    def batch(self, which: Tensor) -> tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor, Tensor]:
        """Inputs of the network, clicks (b, L) and which of them count (b, L)."""
        page = self.page[which]
        page = page[:, : int((page >= 0).sum(1).max())]
        b, k = len(page), self.logit.shape[1]
        at, real = page.clamp(min=0), (page >= 0)[..., None]
        click = (self.click[at] & real).reshape(b, -1)
        shown = (self.shown[at] & real).reshape(b, -1)
        before = torch.cat([torch.zeros_like(click[:, :1]), click[:, :-1]], 1)
        position = torch.arange(k).repeat(page.shape[1]).expand(b, -1)
        flags = torch.stack([shown, before, position == 0], -1).float()
        rows = None if self.rows is None else self.rows[at].flatten(1, 2)
        return self.logit[at].reshape(b, -1), rows, flags, position, click, shown


def _lay_out(base: FittedLaw, pages: ClickPages) -> _Sessions:
    design = base.basis.design(pages)
    shown = torch.from_numpy(pages.shown)
    chance = base.law.marginal(design.dense(design.logits(base.state.appeal)), base.state.globals)
    z = (chance.yes - chance.no).float()  # the base's own chance as a logit: where the network begins
    rows = None
    if base.basis.kind == "features":
        rows = torch.zeros(*design.shape, design.rows.shape[1])
        rows[design.page, design.position] = design.rows
    _, first, length = np.unique(pages.session, return_index=True, return_counts=True)
    start = np.concatenate([np.arange(f, f + n, _MEMORY) for f, n in zip(first, length, strict=True)])
    stop = np.minimum(start + _MEMORY, np.repeat(first + length, -(-length // _MEMORY)))
    step = np.arange(int((stop - start).max()))
    page = np.where(start[:, None] + step < stop[:, None], start[:, None] + step, -1)
    return _Sessions(
        page=torch.from_numpy(page),
        logit=torch.where(shown, z, 0.0),
        rows=rows,
        shown=shown,
        click=torch.from_numpy(pages.click),
    )


@dataclass(frozen=True, kw_only=True)
class FittedReader(FittedClickModel):
    """A fitted recurrent model."""

    base: FittedLaw
    """The position-based model that it begins from."""
    reader: SlateReader
    """The network."""

    def predict(self, pages: ClickPages) -> Prediction:
        """Chances given the session's logged pages before; see `FittedClickModel`."""
        with torch.no_grad(), one_thread():
            data = _lay_out(self.base, pages)
            yes = torch.full(data.logit.shape, NEVER, dtype=torch.float64)
            given = Chance(yes, torch.zeros_like(yes))
            marginal = Chance(yes.clone(), torch.zeros_like(yes))
            for at, logits, page, states, before in self._walk(data):
                for chances, found in (
                    (given, coin(logits.double())),
                    (marginal, self._marginal(data, page, states, before)),
                ):
                    shown = data.shown[at]
                    chances.yes[at] = torch.where(shown, found.yes, NEVER)
                    chances.no[at] = torch.where(shown, found.no, 0.0)
            likelihood = torch.where(data.click, given.yes, given.no).sum(1)
            return Prediction.of(likelihood, given, marginal)

    def sample(self, pages: ClickPages, *, seed: int) -> NDArray[np.bool_]:
        """Clicks (M, K); each page is answered after the session's logged pages before it."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad(), one_thread():
            data = _lay_out(self.base, pages)
            out = np.zeros(pages.item.shape, bool)
            for at, _, page, states, before in self._walk(data):
                drawn = []
                state, last = states, before
                for k in range(pages.n_positions):
                    chance, state = self._step(data, page, k, state, last)
                    last = torch.rand(len(page), generator=generator) < chance
                    drawn.append(last)
                out[at.numpy()] = torch.stack(drawn, 1).numpy()
            return out

    @property
    def parameters(self) -> dict[str, NDArray[np.float64]]:
        """What it adds to the logit at each position before it knows anything."""
        return {"place": np.asarray(self.reader.place.detach().double().numpy())}

    def _walk(self, data: _Sessions) -> list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]:
        """By page number: pages, logits given their logged clicks, pages again, states and last clicks before them."""
        out = []
        k = data.logit.shape[1]
        n = len(data.page)
        state = torch.zeros(1, n, self.reader.gru.hidden_size)
        before = torch.zeros(n, dtype=torch.bool)
        for t in range(data.page.shape[1]):
            alive = data.page[:, t] >= 0
            page = data.page[alive, t]
            state, before = state[:, alive], before[alive]
            data = _Sessions(data.page[alive], data.logit, data.rows, data.shown, data.click)
            click = data.click[page]
            previous = torch.cat([before[:, None], click[:, :-1]], 1)
            position = torch.arange(k).expand(len(page), -1)
            flags = torch.stack([data.shown[page], previous, position == 0], -1).float()
            rows = None if data.rows is None else data.rows[page]
            logits, after = self.reader(data.logit[page], rows, flags, position, state)
            out.append((page, logits, page, state, before))
            state, before = after, click[:, -1]
        return out

    def _step(
        self, data: _Sessions, page: Tensor, k: int, state: Tensor, before: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Chance (b,) of a click at k, and the state after reading the item; `before`: clicked the one above."""
        shown = data.shown[page, k]
        flags = torch.stack([shown, before, torch.full_like(shown, k == 0)], -1).float()[:, None]
        rows = None if data.rows is None else data.rows[page, k][:, None]
        position = torch.full((len(page), 1), k)
        logit, state = self.reader(data.logit[page, k][:, None], rows, flags, position, state)
        return torch.where(shown, torch.sigmoid(logit[:, 0]), 0.0), state

    def _marginal(self, data: _Sessions, page: Tensor, state: Tensor, before: Tensor) -> Chance:
        """Chance (b, K) before anything of the page is known."""
        k, b = data.logit.shape[1], len(page)
        exact = k <= _ENUMERATE
        n = 1 if exact else _DRAWS
        generator = torch.Generator().manual_seed(0)  # numbers of its own, the same for the same pages
        page, before = page.repeat(n), before.repeat(n)
        state = state.repeat(1, n, 1)
        weight = torch.full((n * b,), 1.0 / n, dtype=torch.float64)
        chances = []
        for j in range(k):
            chance, state = self._step(data, page, j, state, before)
            chance = chance.double()
            chances.append((weight * chance).view(-1, b).sum(0))
            if exact:  # both ways: of those who click here, and of those who do not
                weight = torch.cat([weight * chance, weight * (1.0 - chance)])
                before = torch.arange(2).repeat_interleave(len(page)) == 0
                page, state = page.repeat(2), state.repeat(1, 2, 1)
            else:
                before = torch.rand(len(page), generator=generator, dtype=torch.float64) < chance
        p = torch.stack(chances, 1).clamp(1e-12, 1.0 - 1e-12)
        return Chance(p.log(), torch.log1p(-p))


def fit_neural(
    train: ClickPages,
    early: ClickPages,
    late: ClickPages | None,
    config: ClickFitConfig,
    notes: list[str],
    *,
    refit: bool,
    progress: bool = False,
) -> FittedReader:
    """Fit the position-based model, then the network on its logits, by Adam; stopped early on `late`.

    Args:
        train: Training pages.
        early: Those to learn from.
        late: Those to stop on; None: the first epochs are taken, as many as patience says.
        config: Width, epochs, patience.
        notes: What is known of the log already.
        refit: Whether its base is fitted once more, to all of `train`, when the network stands.
        progress: Whether to show a bar.
    """
    from simulators.clicks.fit import fit_click_model

    base = fit_click_model("pbm", early, config, held=late)
    assert isinstance(base, FittedLaw)
    epochs = max(config.max_iterations // 4, 1) if late is not None else config.patience
    shuffle = torch.Generator().manual_seed(config.seed)
    with one_thread():
        data = _lay_out(base, early)
        watched = None if late is None else _lay_out(base, late)
        n_columns = 0 if data.rows is None else data.rows.shape[-1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            reader = SlateReader(train.n_positions, n_columns, config.hidden)
        optimiser = torch.optim.AdamW(reader.parameters(), lr=_LEARNING_RATE, weight_decay=1e-3)
        best, best_held, looks, epoch, stopped = reader.state_dict(), math.inf, 0, 0, late is None
        best = {name: value.clone() for name, value in best.items()}
        if watched is not None:
            best_held = _loss(reader, watched)
        for epoch in tqdm(
            range(1, epochs + 1), desc="fit neural", disable=None if progress else True, leave=False
        ):
            order = torch.randperm(len(data.page), generator=shuffle)
            for which in torch.split(order, _BATCH):
                *inputs, click, shown = data.batch(which)
                logits, _ = reader(*inputs)
                loss = binary_cross_entropy_with_logits(logits[shown], click[shown].float())
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
                optimiser.step()
            held = _loss(reader, watched) if watched is not None else -float(epoch)
            if held < best_held:
                best = {name: value.clone() for name, value in reader.state_dict().items()}
                best_held, looks = held, 0
            else:
                looks += 1
                if looks >= _CALM * config.patience:
                    stopped = True
                    break
    reader.load_state_dict(best)
    if refit and late is not None:
        # The later sessions were needed to stop the network; what appeals in them is not left unused.
        whole = fit_click_model("pbm", train, replace(config, strengths=(base.strength,)))
        assert isinstance(whole, FittedLaw)
        base = whole
    if not stopped:
        notes.append(
            f"WARNING: the network still gained after {epochs} epochs: its figures are provisional; raise "
            "max_iterations"
        )
    return FittedReader(
        name="neural",
        strength=base.strength,
        iterations=epoch,
        converged=stopped,
        notes=(*notes, *(note for note in base.notes if note not in notes)),
        base=base,
        reader=reader,
    )


def _loss(reader: SlateReader, data: _Sessions) -> float:
    total, count = 0.0, 0
    with torch.no_grad():
        for which in torch.split(torch.arange(len(data.page)), 4 * _BATCH):
            *inputs, click, shown = data.batch(which)
            logits, _ = reader(*inputs)
            total += float(
                binary_cross_entropy_with_logits(logits[shown], click[shown].float(), reduction="sum")
            )
            count += int(shown.sum())
    return total / max(count, 1)
