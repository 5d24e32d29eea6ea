"""`python -m encoders finetune-federated`: fine-tune over shops that keep their logs to themselves."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tyro
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.files import atomic_path, refuse_existing
from encoders.commands.common import later_pairs, named_encoder, print_table
from encoders.privacy.federated import FLOWER, FederatedConfig, Shop, check_flower
from pipeline.config import SourceOptions
from pipeline.data import ShopData, read_source

if TYPE_CHECKING:
    from encoders.cache import EmbeddingCache
    from encoders.measures.beside import Beside
    from encoders.privacy.adapter import Adapter
    from encoders.privacy.private import PrivacyReport
    from encoders.relevance import Heads
    from encoders.text import TextEncoder

__all__ = ["FinetuneFederated"]


@dataclass(frozen=True, kw_only=True)
class FinetuneFederated:
    """Fine-tune the layers on top over several shops: each learns from its own log, and only weights are averaged.

    Flower simulates the shops on this machine, in an environment of its own. Its model takes the place of one of
    `finetune` in every command.
    """

    out: Path
    """Folder to write the model to; it must not exist."""
    source: tyro.conf.OmitArgPrefixes[SourceOptions] = field(default_factory=SourceOptions)
    """The logged behaviour that --shops deals out; with --shop, how each shop's log is read, and the catalogue that all
    of them share."""
    shops: int | None = None
    """Deal the people of --data to so many shops, of sizes in proportion to 1, 2, 3, ..."""
    shop: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """The log of one shop, as --data would name it; once for each shop, two or more."""
    flower: Path | None = None
    """The Python of an environment with Flower: `python -m venv flower`, then
    `flower/bin/pip install 'flwr[simulation]' torch safetensors pandas pyarrow tqdm`, then flower/bin/python."""
    encoder: str = "minilm"
    """'minilm', a hub name, a model folder, or 'hash'."""
    config: tyro.conf.OmitArgPrefixes[FederatedConfig] = field(default_factory=FederatedConfig)
    """Rounds, and what a shop does in one. With --epsilon, the promise to each shop's people is that of all rounds
    together; it needs opacus here and in Flower's environment."""
    central: bool = True
    """Learn once more from all logs in one place, to say what keeping them apart costs. Leave it out where that takes
    too long; real shops cannot do it."""
    device: str = "auto"
    """'auto', 'cpu' or 'cuda', for the encoder."""
    quiet: bool = False
    """No progress bars."""

    def run(self) -> None:
        """Deal out, learn, average, judge, write."""
        from encoders.cache import EmbeddingCache, encode_cached
        from encoders.privacy.federated import federate
        from encoders.privacy.private import promise
        from encoders.relevance import RelevanceModel
        from encoders.text import catalog_texts

        refuse_existing(self.out)
        self._check()
        config = self.config
        assert self.flower is not None
        check_flower(self.flower, private=config.local.epsilon is not None)
        encoder, progress = named_encoder(self.encoder, self.device), not self.quiet
        logs = self._read()
        cache, catalog = EmbeddingCache(), logs[0].catalog
        columns = ("title", "category")
        item = encode_cached(encoder, catalog_texts(catalog, columns), cache, progress=progress)
        vectors = [_query_vectors(encoder, log, cache, progress=progress) for log in logs]
        shops = self._shops(logs, vectors)
        slate = max(log.train.slate_size for log in logs)
        promises = [promise(shop.pairs.n_users, config.local, runs=config.rounds) for shop in shops]
        with tempfile.TemporaryDirectory() as folder:
            adapter = federate(
                shops, item, slate, config, folder=Path(folder), python=self.flower, progress=progress
            )
        ways = {"shops that keep their logs": adapter.heads()}
        if self.central:
            ways["all logs in one place"] = _central(shops, item, slate, config, progress=progress).heads()
        rows = self._judge(ways, logs, item, vectors)
        model = RelevanceModel(encoder, adapter.heads(), item_columns=columns, cache=cache)
        model.save(self.out)
        with atomic_path(self.out / "federated.json") as temporary:
            content = {
                "rounds": config.rounds,
                "shops": [
                    {"name": name, **report.as_dict()}
                    for name, report in zip(self._names(len(shops)), promises, strict=True)
                ],
                "measured": [{"model": way, **row.as_dict()} for way, row in rows],
            }
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        self._print(promises, rows)

    def _check(self) -> None:
        if (self.shops is None) == (not self.shop):
            raise InputError(
                "whose logs are to be learned from?",
                where="--shops, --shop",
                mend="--shops N deals the people of --data to N shops; --shop LOG, once for each, names real ones",
            )
        n_shops = len(self.shop) if self.shops is None else self.shops
        if n_shops < 2:
            raise InputError(
                f"{n_shops} shop has nobody to average with",
                where="--shop" if self.shops is None else "--shops",
                mend="two or more; for one log there is finetune-private",
            )
        if self.config.rounds < 1:
            raise InputError(f"rounds must be at least 1, found {self.config.rounds}", where="--rounds")
        if self.flower is None:
            raise InputError(
                "Flower runs in an environment of its own, and none is named", where="--flower", mend=FLOWER
            )

    def _names(self, n_shops: int) -> list[str]:
        return [Path(log).stem for log in self.shop] or [f"shop {n + 1}" for n in range(n_shops)]

    def _read(self) -> list[ShopData]:
        """The log that is dealt out, or one log a shop, all in the numbers of one catalogue."""
        sources = [replace(self.source, data=log) for log in self.shop] or [self.source]
        logs = [read_source(source, progress=not self.quiet) for source in sources]
        for name, log in zip(self.shop, logs, strict=False):
            if log.catalog.item_ids != logs[0].catalog.item_ids:
                raise InputError(
                    "this shop has other items than the first: weights can be averaged, items cannot be matched",
                    where=name,
                    mend="give the catalogue that all shops share with --catalog",
                )
        return logs

    def _shops(self, logs: list[ShopData], vectors: list[NDArray[np.float32]]) -> list[Shop]:
        from encoders.privacy.federated import shops_of
        from encoders.privacy.users import pairs_by_user

        local = self.config.local
        found = [
            Shop(
                pairs=pairs_by_user(
                    log.train,
                    queries=np.asarray(query.any(axis=1)),
                    max_pairs=local.max_pairs,
                    seed=local.seed,
                ),
                query=query,
            )
            for log, query in zip(logs, vectors, strict=True)
        ]
        if self.shops is None:
            return found
        return shops_of(found[0].pairs, found[0].query, self.shops, seed=local.seed)

    def _judge(
        self,
        ways: dict[str, Heads],
        logs: list[ShopData],
        item: NDArray[np.float32],
        vectors: list[NDArray[np.float32]],
    ) -> list[tuple[str, Beside]]:
        """Each way beside the encoder as it came, on the last sessions of each log."""
        from encoders.measures.beside import beside
        from encoders.relevance import Heads, raw_tables

        # Only orders are compared, so the scale of the cosine is of no matter.
        plain = Heads.plain(item.shape[1], click_scale=10.0, purchase_scale=10.0, bias=(0.0, 0.0))
        names = [Path(log).stem for log in self.shop] or ["the log"]
        rows = []
        for name, log, query, data in zip(
            names, logs, vectors, self.shop or (self.source.data,), strict=True
        ):
            later = later_pairs(log, data)
            truth = None if log.truth is None else log.truth.relevance
            before = raw_tables(item, query, plain)
            rows += [
                (way, beside(name, before, raw_tables(item, query, heads), later, truth))
                for way, heads in ways.items()
            ]
        return rows

    def _print(self, promises: list[PrivacyReport], rows: list[tuple[str, Beside]]) -> None:
        print_table(
            f"{len(promises)} shops, {self.config.rounds} rounds",
            ("shop", "people", "epsilon, all rounds", "delta", "noise multiplier"),
            [
                (
                    name,
                    f"{report.n_users:,}",
                    "none: no promise" if report.epsilon is None else f"{report.epsilon:.3g}",
                    "" if report.epsilon is None else f"{report.delta:.2g}",
                    "" if report.epsilon is None else f"{report.noise_multiplier:.3g}",
                )
                for name, report in zip(self._names(len(promises)), promises, strict=True)
            ],
        )
        print_table(
            "last sessions of each log, beside the encoder as it came",
            ("measured on", "learned by", "measure", "encoder", "learned", "gain, 95 % interval"),
            [(row.name, way, *cells) for way, row in rows for cells in row.rows()],
        )
        print(f"relevance model: {self.out}")


def _query_vectors(
    encoder: TextEncoder, log: ShopData, cache: EmbeddingCache, *, progress: bool
) -> NDArray[np.float32]:
    """Raw vectors (Q, D) of a log's queries, zeros for the empty one."""
    from encoders.cache import encode_cached

    query = encode_cached(encoder, list(log.queries), cache, progress=progress)
    query[[not text.strip() for text in log.queries]] = 0.0
    return query


def _central(
    shops: list[Shop],
    item: NDArray[np.float32],
    slate_size: int,
    config: FederatedConfig,
    *,
    progress: bool,
) -> Adapter:
    """The same weights, learned for as long from everybody at once, under the same promise."""
    from encoders.privacy.private import new_adapter, train_adapter
    from encoders.privacy.users import UserPairs

    start = np.cumsum([0, *(len(shop.query) for shop in shops)])
    parts = [
        replace(shop.pairs, query=shop.pairs.query + first)
        for shop, first in zip(shops, start[:-1], strict=True)
    ]
    everybody = UserPairs(
        **{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(UserPairs)}
    )
    query = np.concatenate([shop.query for shop in shops])
    local = replace(config.local, epochs=config.local.epochs * config.rounds)
    adapter = new_adapter(item, slate_size, local)
    train_adapter(adapter, everybody, item, query, local, progress=progress)
    return adapter
