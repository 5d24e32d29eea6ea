"""Last stage: the final table, the verdict, and the page that shows it all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from behavior.files import atomic_path
from envs.world import TaskConfig, World
from evaluation.off_policy import OffPolicyResult
from evaluation.report_data import (
    Curve,
    PolicyExplanation,
    PositionRates,
    ReportData,
    ReportTable,
    SlateComparison,
)
from evaluation.run_artifacts import FITTED, Judgement
from evaluation.table import FinalTable, build_table
from evaluation.verdict import Verdict, judge
from pipeline.artifacts import BEHAVIOR, HELD_OUT, ORACLES
from pipeline.config import TrainConfig
from pipeline.config_file import config_to_mapping
from pipeline.data import ShopData
from pipeline.learning import SAMPLED, Learned
from pipeline.relevance import Relevance
from pipeline.run_folder import RunFolder
from pipeline.users import Users

if TYPE_CHECKING:
    from agents.base import Policy
    from encoders.measures.clusters import ReliabilityBin
    from evaluation.agreement_run import AgreementChapter
    from simulators.trust.report import TrustReport

__all__ = [
    "before_and_after",
    "explanation",
    "final_table",
    "page",
    "verdict",
    "write_comparisons",
    "write_to_tensorboard",
]

_SHOWN_USERS = (0, 1, 2, 3)


def final_table(
    judged: Judgement, off_policy: Mapping[str, OffPolicyResult], trained: str | None
) -> FinalTable:
    """One row per policy."""
    return build_table(
        judged.online,
        world=judged.world,
        fitted=judged.fitted,
        off_policy=off_policy,
        trained=trained,
        trained_in=judged.trained_in,
        behaviour=BEHAVIOR,
        oracles=ORACLES,
    )


def verdict(
    judged: Judgement, off_policy: Mapping[str, OffPolicyResult], trained: str | None, shop: ShopData
) -> Verdict | None:
    """Whether the trained policy deserves an A/B test; None where nothing was trained."""
    if trained is None:
        return None
    from_log = off_policy.get(trained)
    exploring = off_policy.get(SAMPLED)
    if exploring is not None and exploring.status == "ok" and (from_log is None or from_log.status != "ok"):
        from_log = exploring
    return judge(
        judged.online,
        trained=trained,
        rivals=tuple(n for n in judged.online.outcomes if n not in (trained, SAMPLED, *ORACLES)),
        world=judged.world,
        world_is_true=shop.truth is not None,
        world_is_fitted=judged.trained_in == FITTED,
        off_policy=from_log,
    )


def page(
    run: RunFolder,
    config: TrainConfig,
    shop: ShopData,
    relevance: Relevance,
    users: Users,
    judged: Judgement,
    table: FinalTable,
    found: Verdict | None,
    off_policy: Mapping[str, OffPolicyResult],
    curves: tuple[Curve, ...],
    slates: tuple[SlateComparison, ...],
    explained: PolicyExplanation | None = None,
    agreement: AgreementChapter | None = None,
) -> ReportData:
    """What stands in `report.html`."""
    return ReportData(
        title=run.path.name,
        created=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        command=run.command,
        table=table,
        verdict=found,
        facts=_facts(config, shop, users, run),
        warnings=_warnings(config, shop, users, off_policy, run.record.get("left_out", {})),
        curves=curves,
        positions=tuple(
            PositionRates(label=name, click=outcome.click_by_position)
            for name, outcome in judged.online.outcomes.items()
        ),
        trust=_trust(users, agreement),
        fidelity=_fidelity(users),
        relevance=_relevance(relevance),
        reliability=_reliability(relevance),
        words=relevance.words,
        tables=(_fits(users),),
        slates=slates,
        explanation=explained,
        agreement=agreement,
        config_yaml=(run.path / "config.yaml").read_text(encoding="utf-8"),
        versions={**run.record.get("versions", {}), "machine": run.record.get("machine", "unknown")},
    )


def before_and_after(
    config: TrainConfig, world: World, task: TaskConfig, policies: Mapping[str, Policy]
) -> tuple[SlateComparison, ...]:
    """The first pages of a few held-out users, ranked by `policies`."""
    from evaluation.slates import compare_slates

    numbers = [HELD_OUT + user for user in _SHOWN_USERS]
    return compare_slates(policies, world, task, users=numbers, seed=config.run.seed)


def explanation(
    config: TrainConfig, world: World, task: TaskConfig, run: RunFolder, learned: Learned
) -> PolicyExplanation | None:
    """A few held-out sessions of the policy that the run was about, candidate by candidate; None where none is asked.

    Args:
        config: How many sessions, and how long to play on from each page.
        world: Whose users: those that the policies are judged by.
        task: Sizes, horizon and reward.
        run: Its checkpoint says by how much the learner discounts what comes later.
        learned: The policies.
    """
    from agents.checkpoint import read_checkpoint
    from evaluation.explanations import explain_sessions

    options, name = config.judge, learned.name or config.learner.agent
    if not options.explained_users:
        return None
    gamma = 1.0 if learned.name is None else read_checkpoint(run.path / "best_model.zip").config.gamma
    return explain_sessions(
        learned.policies[name],
        world,
        task,
        users=[HELD_OUT + user for user in range(options.explained_users)],
        seed=config.run.seed,
        gamma=gamma,
        rollouts=options.explained_rollouts,
        name=name,
    )


def write_comparisons(run: RunFolder, judged: Judgement, trained: str | None) -> None:
    """Paired differences of score, trained policy minus each other one, as `comparisons.json`."""
    found = {
        name: {"value": difference.value, "low": difference.low, "high": difference.high}
        for name in judged.online.outcomes
        if trained is not None and name not in (trained, SAMPLED)
        for difference in [judged.online.difference(trained, name)]
    }
    with atomic_path(run.path / "comparisons.json") as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def write_to_tensorboard(
    run: RunFolder,
    config: TrainConfig,
    table: FinalTable,
    judged: Judgement,
    trained: str | None,
    task: TaskConfig,
) -> None:
    """The final table, the configuration, and hyper-parameters with final metrics, beside the learning curves."""
    from torch.utils.tensorboard import SummaryWriter

    from agents.registry import learner_config, learner_names
    from evaluation.tensorboard import write_hparams, write_layout, write_table, write_text

    writer = SummaryWriter(str(run.path))
    step = config.learner.steps
    write_table(writer, table, step=step)
    write_text(writer, "config", (run.path / "config.yaml").read_text(encoding="utf-8"), step=step)
    write_text(writer, "command", run.command, step=step)
    write_layout(writer, task.slate_size)
    settings = {**config_to_mapping(config), **run.record.get("settings", {})}
    others = {name: config_to_mapping(learner_config(name)) for name in learner_names()}
    write_hparams(
        writer,
        {name: part for name, part in settings.items() if name != "run"}
        | {"run": {"seed": config.run.seed, "name": run.path.name}},
        _final_metrics(table, judged, trained or config.learner.agent),
        also=others,
        first=("learner.agent", "learner.steps", "run.seed", "source.data", "user.simulator"),
        step=step,
    )
    writer.close()


def _final_metrics(table: FinalTable, judged: Judgement, name: str) -> dict[str, float]:
    """The figures of the policy that the run was about, by tag; nan where there is none."""
    row, outcome = table.row(name), judged.online[name]
    return {
        "final/score": row.score.value,
        "final/share_of_gap": np.nan if row.share_of_gap is None else row.share_of_gap.value,
        "final/clicks": row.clicks.value,
        "final/purchases": row.purchases.value,
        "final/reward": float(outcome.reward.mean()),
        "final/length": float(outcome.length.mean()),
        "final/diversity": float(outcome.diversity.mean()),
        "final/coverage": outcome.coverage,
        "final/score_in_simulator": np.nan if row.fitted_score is None else row.fitted_score.value,
    }


def _facts(config: TrainConfig, shop: ShopData, users: Users, run: RunFolder) -> tuple[tuple[str, str], ...]:
    parts = (shop.train, shop.valid, shop.test)
    trained = run.record.get("trained")  # what was made, which is not always what was asked for
    agent = config.learner.agent + (
        f", {trained['user_steps']:,} user-steps; judged as it was after {trained['best_after']:,}, "
        "best on validation users"
        if trained
        else ", needs no training"
    )
    return (
        (
            "data",
            config.source.data
            if config.source.data_path is None
            else f"{shop.name} ({config.source.data_path})",
        ),
        ("log", f"{sum(p.n_sessions for p in parts):,} sessions, {sum(p.n_steps for p in parts):,} pages"),
        (
            "split by time",
            " / ".join(f"{p.n_sessions:,}" for p in parts) + " sessions (train / valid / test)",
        ),
        (
            "clicks and purchases",
            f"{sum(int(p.click.sum()) for p in parts):,} and {sum(int(p.purchase.sum()) for p in parts):,}",
        ),
        ("catalogue", f"{shop.catalog.n_items:,} items, {len(shop.queries):,} queries"),
        ("relevance model", config.relevance.encoder if shop.has_text else "item features"),
        ("simulated users", users.name),
        ("agent", agent),
        ("seed", str(config.run.seed)),
    )


def _warnings(
    config: TrainConfig,
    shop: ShopData,
    users: Users,
    off_policy: Mapping[str, OffPolicyResult],
    left_out: Mapping[str, str],
) -> tuple[str, ...]:
    clicks = int(shop.train.click.sum())
    lines = list(shop.notes)
    if clicks < 200:
        lines.append(
            f"The training part of the log carries {clicks} clicks. That proves very little: the fitted users are "
            "hardly more than an overall click rate, and intervals are wide."
        )
    if off_policy and config.task.slate_size < shop.test.slate_size and not shop.test.single_impressions:
        lines.append(
            f"Pages of the log hold up to {shop.test.slate_size} positions, those of the task "
            f"{config.task.slate_size}: from the log, only the first {config.task.slate_size} are judged."
        )
    lines += [f"The simulator {name} was not fitted: {why}" for name, why in users.refused.items()]
    lines += [
        f"How far the simulator {name} can be trusted is not known: {why}"
        for name, why in users.unjudged.items()
    ]
    lines += [f"{name} could not be learned from the log: {why}" for name, why in left_out.items()]
    # A plug-in may say what its user should know, too.
    lines += [f"Simulator {users.name}: {note}" for note in getattr(users.simulator, "notes", ())]
    lines += [
        f"{name}, from the log: {text}" for name, result in off_policy.items() for text in result.warnings
    ]
    return tuple(dict.fromkeys(lines))


def _fits(users: Users) -> ReportTable:
    rows: list[tuple[str | float | int | None, ...]] = []
    for name, report in users.reports.items():
        rows += [
            (name, score.part, score.metric, score.value, score.baseline, score.baseline_name, score.n)
            for score in report.scores
        ]
    return ReportTable(
        caption="Each part of the simulated users, on held-out sessions",
        columns=("simulator", "part", "measure", "fitted", "baseline", "baseline is", "n"),
        rows=tuple(rows),
        note="Log-likelihoods: higher is better. Perplexities and log-losses: lower is better.",
    )


def _trust(users: Users, agreement: AgreementChapter | None) -> dict[str, TrustReport]:
    """By simulator; agreement on policies is known of the one they were trained in."""
    found = dict(users.trust)
    if agreement is not None and agreement.agreement is not None and users.name in found:
        found[users.name] = found[users.name].with_agreement(agreement.agreement.summary())
    return found


def _fidelity(users: Users) -> ReportTable | None:
    rows: list[tuple[str | float | int | None, ...]] = []
    for name, report in users.fidelity.items():
        for row in (*report.likelihood, *report.behaviour):
            ours = f"{row.simulated:.4f} [{row.simulated_low:.4f}, {row.simulated_high:.4f}]"
            theirs = f"{row.logged:.4f} [{row.logged_low:.4f}, {row.logged_high:.4f}]"
            overlap = None if row in report.likelihood else "yes" if row.agrees else "no"
            rows.append((name, row.measure, ours, theirs, overlap))
    if not rows:
        return None
    return ReportTable(
        caption="How far the simulated users can be trusted, on sessions held out by time",
        columns=("simulator", "measure", "simulator", "log, or constant rate", "intervals overlap"),
        rows=tuple(rows),
        note="Click log-likelihood and perplexity are compared with a constant rate at each position, rates and "
        "lengths with the log. Intervals are bootstrapped over sessions.",
    )


def _relevance(relevance: Relevance) -> ReportTable | None:
    from encoders.measures.held_out import main_rows

    report = relevance.report
    if report is None:
        return None
    held_out: list[tuple[str | float, ...]] = [(*row, "") for row in report.rows()]
    if report.comparison is not None:
        held_out = [*main_rows(report.comparison)]
    return ReportTable(
        caption=f"The relevance model on {report.n_queries:,} held-out queries",
        columns=("measure", "before fine-tuning", "after", "difference, 95 % interval"),
        rows=(
            *held_out,
            *(
                (f"{name}, queries of the log by its later sessions", before, after, "")
                for name, before, after in report.known_rows()
            ),
        ),
        note="Intervals are bootstrapped over queries. Every measure, by head, torso and tail queries and for new "
        "items, stands in relevance/report.json.",
    )


def _reliability(relevance: Relevance) -> Mapping[str, tuple[ReliabilityBin, ...]]:
    found = None if relevance.report is None else relevance.report.comparison
    if found is None:
        return {}
    return {"before fine-tuning": found.reliability_before, "after": found.reliability_after}
