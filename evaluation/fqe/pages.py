"""A log and a policy as fitted Q evaluation wants them: features of sessions and pages, and the policy's own pages.

A page is described by the features of its items, averaged by how much each position is looked at: a linear value is
then a sum over items, as in SlateQ's decomposition (Ie et al., IJCAI 2019). The session's state, its history
(`evaluation.fqe.history`), how alike the items are, and all of it times the share of pages left stand beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from evaluation.fqe.config import FqeConfig, FqeResult
from evaluation.fqe.data import FqeData
from evaluation.fqe.evaluate import fitted_q
from evaluation.fqe.history import FADING, LOOK_DECAY, fading_sums, page_traits

if TYPE_CHECKING:
    from agents.base import Policy
    from agents.offline.transitions import LogTransitions
    from agents.page_features import PageInputs
    from encoders.features import CandidateTable, FeatureTables
    from envs.observation import Observation
    from envs.world import TaskConfig

__all__ = ["fitted_q_evaluation", "page_data"]

_OWN_CHANCE = 0x5E55_0000  # keys of the policy's draws here, apart from those that logs are usually made with


def fitted_q_evaluation(
    policy: Policy,
    steps: LoggedSteps,
    features: FeatureTables,
    task: TaskConfig,
    *,
    config: FqeConfig | None = None,
    candidates: CandidateTable | None = None,
    n_draws: int = 4,
    at_limit: Literal["bootstrap", "stop"] = "bootstrap",
    history: Sequence[float] = FADING,
    progress: bool = True,
) -> FqeResult:
    """What a session is worth under `policy`, by the task's score, fitted to a log.

    It needs no propensities, and it is the one estimator here that follows a policy over long sessions. It is right as
    far as the observation holds what the users' future depends on, and as far as the regressor can say it: read the
    figure beside another regressor's, and beside doubly robust ones with its `q` and `v`.

    Args:
        policy: The policy judged; not one that looks at hidden states.
        steps: The log, of whole sessions.
        features: The public tables.
        task: Sizes, horizon, memory and score. With `memory` above 0 the features count what was shown lately.
        config: How values are fitted.
        candidates: Candidates and scores by query, for a log that recorded none.
        n_draws: Pages drawn from the policy at each observation; 1 where two draws agree on the first pages.
        at_limit: What a session that reached the step limit, or was cut off, is worth afterwards: 'bootstrap': what the
            values say, as if it went on; 'stop': nothing, the value of sessions that are cut off there.
        history: At which rates sums over the session's earlier pages fade, of what was shown, clicked and bought; ():
            nothing but the observation.
        progress: Whether to show a bar.

    Raises:
        InputError: A policy that needs the hidden state, or a log as `agents.offline.log_transitions` refuses it.
    """
    config = config or FqeConfig()
    data = page_data(
        policy,
        steps,
        features,
        task,
        candidates=candidates,
        n_draws=n_draws,
        at_limit=at_limit,
        average=config.linear,
        history=history,
        seed=config.seed,
        progress=progress,
    )
    return fitted_q(data, config)


def page_data(
    policy: Policy,
    steps: LoggedSteps,
    features: FeatureTables,
    task: TaskConfig,
    *,
    candidates: CandidateTable | None = None,
    n_draws: int = 4,
    at_limit: Literal["bootstrap", "stop"] = "bootstrap",
    average: bool = False,
    history: Sequence[float] = FADING,
    batch: int = 1024,
    seed: int = 0,
    progress: bool = True,
) -> FqeData:
    """The pages of a log and the policy's own; arguments as for `fitted_q_evaluation`.

    Rows come in the order of sessions and steps. `average`: keep the mean features of the policy's pages alone, all
    that a linear form needs.
    """
    # Here, not above: torch takes seconds to load.
    from agents.offline.transitions import log_transitions
    from agents.page_features import PageFeatures

    if policy.privileged:
        raise InputError(
            f"{policy.name} looks at the users' hidden state, which no log holds",
            where="fitted Q evaluation",
            mend="Judge it in a simulator.",
        )
    if n_draws < 1:
        raise InputError(f"{n_draws} draws", where="fitted Q evaluation", mend="Ask for at least one.")
    transitions = log_transitions(steps, features, task, candidates=candidates)
    order = np.lexsort((steps.step, steps.session))  # as `log_transitions` has them
    session, step = steps.session[order], steps.step[order].astype(np.int64)
    item, purchase = steps.item[order][:, : task.slate_size], steps.purchase[order][:, : task.slate_size]
    price = np.append(np.nan_to_num(features.price.astype(np.float64)), 0.0)  # a last row for -1
    worth = task.purchase_weight + task.revenue_weight * price[item]
    reward = task.click_weight * transitions.click.sum(axis=1, dtype=np.float64) + (worth * purchase).sum(
        axis=1
    )

    M = transitions.n_steps
    last = transitions.ends
    cut = np.flatnonzero(transitions.truncated) if at_limit == "bootstrap" else np.empty(0, np.int64)
    then = np.where(last, -1, np.arange(M) + 1)
    then[cut] = M + np.arange(cut.size)
    page = PageFeatures(
        features,
        n_candidates=task.n_candidates,
        slate_size=task.slate_size,
        context_size=transitions.observation.context.shape[1],
        memory=task.memory,
    )
    before, after = fading_sums(_traits(transitions, item, purchase, features), session, history)
    parts = [
        (transitions.observation, before, np.arange(M)),
        (transitions.next_observation, after, cut),
    ]
    shown: list[NDArray[np.float64]] = []
    own: list[NDArray[np.float64]] = []
    with tqdm(
        total=M + cut.size,
        desc=f"pages of {policy.name}",
        unit="page",
        leave=False,
        disable=None if progress else True,
    ) as bar:
        draws = (
            1 if _deterministic(policy, transitions.observation, task.slate_size, batch, seed) else n_draws
        )
        for observation, past, rows in parts:
            for start in range(0, rows.size, batch):
                at = rows[start : start + batch]
                seen = observation.take(at)
                inputs = page(_tensors(seen))
                if observation is transitions.observation:
                    shown.append(_slate_features(inputs, transitions.actions[at], seen, past[at]))
                drawn = np.stack(
                    [
                        _slate_features(
                            inputs, _draw(policy, seen, at, task.slate_size, seed, j), seen, past[at]
                        )
                        for j in range(draws)
                    ],
                    axis=1,
                )  # (b, R, D)
                own.append(drawn.mean(axis=1, keepdims=True) if average else drawn)
                bar.update(at.size)
    return FqeData(
        features=np.concatenate(shown),
        reward=reward,
        at=np.arange(M),
        then=then,
        policy_features=np.concatenate(own),
        session=session,
        step=step,
    )


def _draw(
    policy: Policy, seen: Observation, rows: NDArray[np.int64], slate_size: int, seed: int, j: int
) -> NDArray[np.int64]:
    from agents.base import Draw

    key = Draw(seed=seed + _OWN_CHANCE + j, user=rows, step=np.zeros(rows.size, np.int32))
    return policy.rank(seen, key, slate_size=slate_size)


def _deterministic(policy: Policy, observation: Observation, slate_size: int, batch: int, seed: int) -> bool:
    rows = np.arange(min(batch, observation.candidates.shape[0]))
    seen = observation.take(rows)
    one, two = (_draw(policy, seen, rows, slate_size, seed, j) for j in (0, 1))
    return np.array_equal(one, two)


def _tensors(observation: Observation) -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in observation.as_dict().items()}


def _traits(
    transitions: LogTransitions,
    item: NDArray[np.int32],
    purchase: NDArray[np.uint8],
    features: FeatureTables,
) -> NDArray[np.float64]:
    """(M, C) of the logged pages."""
    actions = transitions.actions
    relevance = np.take_along_axis(transitions.observation.scores, np.maximum(actions, 0), axis=1)
    K = item.shape[1]  # pages of the log may be shorter than the task's
    return page_traits(
        item, transitions.click[:, :K], purchase, np.where(actions >= 0, relevance, 0.0)[:, :K], features
    )


def _slate_features(
    inputs: PageInputs, slates: NDArray[np.int64], seen: Observation, past: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(b, D) of the session, its `past` (b, H), and the page `slates` (b, K), -1 where a position is unknown."""
    import torch

    known = torch.from_numpy(slates >= 0)
    page = inputs.shown(torch.from_numpy(np.maximum(slates, 0)))
    look = (torch.arange(slates.shape[1]) + 1.0) ** -LOOK_DECAY * known  # (b, K)
    share = look / look.sum(1, keepdim=True).clamp_min(1e-9)
    mean = torch.bmm(share.unsqueeze(1), page.candidates).squeeze(1)  # (b, C)
    square = torch.bmm(share.unsqueeze(1), page.candidates.square()).squeeze(1)
    chance = torch.sigmoid(page.logit)  # the page's expected clicks, as relevance has them
    clicks = (look * chance).sum(1, keepdim=True)
    centre = torch.bmm(share.unsqueeze(1), page.vectors).squeeze(1)  # (b, V)
    alike = centre.square().sum(1, keepdim=True)  # mean cosine of the page's items, positions weighed
    left = torch.from_numpy(seen.progress[:, 1:2])  # share of the session's pages that are left
    parts = (inputs.state, mean, square, clicks, alike, left * mean, left * alike, left * inputs.state)
    now = torch.cat(parts, dim=1).double().numpy()
    return np.concatenate([now, past, seen.progress[:, 1:2] * past], axis=1)
