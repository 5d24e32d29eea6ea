"""Our click models beside CLAX (`clax-models`), fitted to the same sessions and judged on the same held-out ones.

`python -m benchmarks.click_models [--quick] [--json FILE] [--keep FOLDER]`; `--write-docs` runs nothing and
writes the tables of docs/click-models.md from the results that are kept: this one's, and
`click_models_demo.json`, which `python -m simulators fit-clicks --json` wrote.

Each model is fitted to randomised pages of its own world (30 queries, 15 items, 6 positions), and all of them
to the log of a small demo store; attractiveness is a number for each query and item on both sides. Training,
validation and test sessions are the same arrays: the validation part chooses our prior's strength and CLAX's
learning rate and stopping, and nobody is fitted to it. CLAX runs in a virtual environment of its own, made at
the first run (pip, from the configured index; 0.6 GB) and kept; `benchmarks/peer_scripts/clax_fit.py` says how
it is run. Differences are ours minus theirs on the same resampled sessions.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from behavior.errors import InputError
from behavior.files import cache_home
from benchmarks.common import Case, Options, case, main, result
from benchmarks.speed.docs import fill_blocks, read_kept
from benchmarks.speed.peer_environments import Peer, prepare, run_peer
from benchmarks.speed.table import show
from simulators.clicks.compare import BASELINE
from simulators.clicks.config import ClickFitConfig
from simulators.clicks.fit import fit_click_model
from simulators.clicks.fitted import Prediction
from simulators.clicks.pages import ClickPages, pages_of
from simulators.clicks.scores import ClickScores, Figure, score, subtract
from simulators.clicks.worlds import make_world

__all__ = ["CLAX", "ClickOptions", "demo_table", "measure", "table_of"]

CLAX = Peer(
    name="clax",
    package="clax-models==0.1.1",
    needs=(
        "jax==0.6.2",
        "flax==0.11.2",
        "optax==0.2.5",
        "rax==0.4.0",
        "pandas==2.3.3",
        "numpy==2.3.5",
        "progress-table==3.3.4",
    ),
    script="clax_fit.py",
)
MODELS = ("pbm", "ubm", "cm", "dcm", "ccm", "sdbn", "dbn")
"""Those that both have."""
METRICS = ("log_likelihood", "perplexity", "conditional_perplexity")
_DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "click-models.md"


@dataclass(frozen=True, kw_only=True)
class ClickOptions(Options):
    """How, and where the peer lives."""

    keep: Path | None = None
    """Folder of the peer's virtual environment; the cache folder where none is named."""
    write_docs: bool = False
    """Run nothing; write the tables of docs/click-models.md from the results that are kept."""


@dataclass(frozen=True, kw_only=True)
class _Log:
    name: str
    models: tuple[str, ...]
    train: ClickPages
    valid: ClickPages
    test: ClickPages


def measure(options: ClickOptions) -> dict[str, Any]:
    """Fit both, compare. `--quick`: two worlds, small ones."""
    if options.write_docs:
        return _write_docs()
    python = prepare(CLAX, options.keep or cache_home() / "peers")
    logs = list(_logs(options.quick))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        theirs = _fit_theirs(python, logs, folder)
        rows: list[dict[str, Any]] = []
        cases: list[Case] = []
        fits = [(log, model) for log in logs for model in log.models]
        for log, model in tqdm(fits, desc="click models", unit="fit", disable=None):
            fitted = fit_click_model(model, log.train, ClickFitConfig(), held=log.valid)
            ours = score(fitted.predict(log.test), log.test)
            other = score(theirs[log.name, model], log.test)
            for metric in METRICS:
                row = _row(log, model, metric, ours, other)
                rows.append(row)
                cases.append(
                    case(f"{log.name}: {model}, {row['metric']}", row["ours"], row["unit"], row["theirs"])
                )
    show("click models", cases)
    found = result("click_models", cases, packages=("numpy", "torch"))
    found["versions"][CLAX.package.partition("==")[0]] = CLAX.package.partition("==")[2]
    return found | {"differences": rows, "clearly_worse": [r["case"] for r in rows if r["clearly_worse"]]}


def _row(log: _Log, model: str, metric: str, ours: ClickScores, theirs: ClickScores) -> dict[str, Any]:
    mine: Figure = getattr(ours, metric)
    other: Figure = getattr(theirs, metric)
    apart = subtract(mine, other)
    likelihood = metric == "log_likelihood"
    title = "log-likelihood per page" if likelihood else metric.replace("_", " ")
    return {
        "case": f"{log.name}: {model}, {title}",
        "log": log.name,
        "model": model,
        "metric": title,
        "unit": "nats" if likelihood else "perplexity",
        "ours": mine.value,
        "ours_interval": [mine.low, mine.high],
        "theirs": other.value,
        "theirs_interval": [other.low, other.high],
        "difference": apart.value,
        "difference_interval": [apart.low, apart.high],
        "clearly_better": apart.low > 0 if likelihood else apart.high < 0,
        "clearly_worse": apart.high < 0 if likelihood else apart.low > 0,
    }


def _logs(quick: bool) -> Iterator[_Log]:
    n = (1_500, 500, 1_500) if quick else (6_000, 1_500, 6_000)
    for model in ("pbm", "dbn") if quick else MODELS:
        world = make_world(model, n_queries=30, n_items=15, n_positions=6, seed=11, centre=-1.0)
        train, valid, test = (world.pages(size, seed=21 + part) for part, size in enumerate(n))
        yield _Log(name=f"world of {model}", models=(model,), train=train, valid=valid, test=test)
    if quick:
        return
    from behavior.split import split_steps_by_time
    from store import StoreConfig, open_store

    store = open_store(StoreConfig.tiny(seed=0))
    split = split_steps_by_time(store.log.to_steps(store.catalog, store.queries))
    parts = [pages_of(part, n_items=store.catalog.n_items) for part in (split.train, split.valid, split.test)]
    several = tuple(model for model in MODELS if model != "cm")  # its pages have several clicks
    yield _Log(name="demo store (tiny)", models=several, train=parts[0], valid=parts[1], test=parts[2])


def _fit_theirs(python: Path, logs: list[_Log], folder: Path) -> dict[tuple[str, str], Prediction]:
    """All of CLAX's fits, in one process of its own environment."""
    jobs, of = [], {}
    for number, log in enumerate(logs):
        known = np.unique(log.train.pair)
        arrays: dict[str, NDArray[Any]] = {"n_pairs": np.array(len(known))}
        for part, pages in (("train", log.train), ("valid", log.valid), ("test", log.test)):
            if not pages.shown.all():
                raise InputError("a page has an empty position", where=log.name, mend="whole pages only")
            at = np.minimum(np.searchsorted(known, pages.pair), len(known) - 1)
            arrays[f"{part}_pair"] = np.where(known[at] == pages.pair, at + 1, 0)
            arrays[f"{part}_click"] = pages.click
        data = folder / f"log{number}.npz"
        np.savez(data, **arrays)  # type: ignore[arg-type]
        for model in log.models:
            out = folder / f"log{number}-{model}.npz"
            jobs.append({"data": str(data), "model": model, "out": str(out)})
            of[log.name, model] = out, log.test
    (folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    print(f"clax: {len(jobs)} fits, three learning rates each", file=sys.stderr)
    run_peer(CLAX, python, str(folder / "jobs.json"))
    return {key: _their_prediction(out, test) for key, (out, test) in of.items()}


def _their_prediction(file: Path, test: ClickPages) -> Prediction:
    with np.load(file) as found:
        given, marginal = (
            np.minimum(found[name].astype(np.float64), -1e-12) for name in ("given", "marginal")
        )
    no_given, no_marginal = (np.log(-np.expm1(log)) for log in (given, marginal))
    return Prediction(
        log_likelihood=np.where(test.click, given, no_given).sum(axis=1),
        given_yes=given,
        given_no=no_given,
        marginal_yes=marginal,
        marginal_no=no_marginal,
    )


def table_of(found: dict[str, Any]) -> str:
    """The differences as Markdown."""
    versions = ", ".join(f"{name} {text}" for name, text in found["versions"].items())
    lines = [
        f"{versions}; 95 % intervals over sessions.",
        "",
        "| log | model | held-out figure | ours | CLAX | ours − CLAX | |",
        "|---|---|---|---:|---:|---:|---|",
    ]
    for row in found["differences"]:
        low, high = row["difference_interval"]
        word = "better" if row["clearly_better"] else "worse" if row["clearly_worse"] else ""
        cells = (
            row["log"],
            row["model"],
            row["metric"],
            f"{row['ours']:.4f}",
            f"{row['theirs']:.4f}",
            f"{row['difference']:+.4f} ({low:+.4f} to {high:+.4f})",
            word,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def demo_table(found: dict[str, Any]) -> str:
    """What `python -m simulators fit-clicks --json` wrote, as Markdown."""
    lines = [
        f"Attractiveness from {found['appeal']}; {found['train_pages']:,} training pages, judged on "
        f"{found['held_out_pages']:,} held-out ones; {found['confidence']:.0%} intervals over sessions.",
        "",
        "| model | log-likelihood per page | gain over rates | behind the best | perplexity | conditional perplexity "
        "| |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    level = {row["model"]: row["log_likelihood"]["value"] for row in found["models"] if "refused" not in row}
    least, most = level[BASELINE], max(level.values())
    for place, row in enumerate(found["models"]):
        if "refused" in row:
            lines.append(f"| {row['model']} | – | – | – | – | – | refused: {row['refused']} |")
            continue
        behind = row["behind_the_best"]
        lost = f"{behind['value']:.4f} ({behind['low']:.4f} to {behind['high']:.4f})"
        figures = [f"{row[name]['value']:.4f}" for name in METRICS]
        remarks = ["worse"] if behind["low"] > 0 else []
        remarks += ["not converged"] if not row.get("converged", True) else []
        won = f"{(level[row['model']] - least) / (most - least):.0%}" if most > least else ""
        cells = (row["model"], figures[0], won, lost if place else "", *figures[1:], ", ".join(remarks))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", found["verdict"][0].upper() + found["verdict"][1:] + "."])


def _write_docs() -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {}
    for name, command in (
        ("click_models", "python -m benchmarks.click_models"),
        ("click_models_demo", "python -m simulators fit-clicks"),
    ):
        found[name] = read_kept(name, mend=f"run {command} with --json")
    tables = {
        "click-models": table_of(found["click_models"]),
        "click-models-demo": demo_table(found["click_models_demo"]),
    }
    fill_blocks(_DOCUMENT, tables)
    return found["click_models"]


if __name__ == "__main__":
    sys.exit(main(measure, ClickOptions, description=__doc__))
