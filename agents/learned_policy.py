"""A trained network as a `Policy`: the same slates for a user alone or among thousands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from agents.dqn.policy import SlateQPolicy
from agents.ppo.policy import PlackettLucePolicy
from agents.score_policy import ScorePolicy
from envs.observation import Observation

__all__ = ["LearnedPolicy"]

_TILE = 64


class LearnedPolicy(ScorePolicy):
    """Ranks by a network's scores.

    Matrix products change in the last bits with the batch size, so the network is asked in tiles of 64 pages, the
    last one filled up with copies: results do not depend on who else is served. A network trained with users of whom
    nothing is known (context of width 0) passes over the context of those it meets elsewhere.

    Args:
        network: The policy of a trained learner, or of a checkpoint.
        name: What to call it.
        temperature: 0 ranks by score. PPO's own law is temperature 1; DQN's scores are in units of reward.
    """

    def __init__(
        self, network: PlackettLucePolicy | SlateQPolicy, *, name: str, temperature: float = 0.0
    ) -> None:
        super().__init__(temperature=temperature)
        self.network = network
        self.name = name
        assert isinstance(network.observation_space, spaces.Dict)
        self._blind = network.observation_space["context"].shape == (0,)

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        """The network's scores (B, N)."""
        if self._blind:
            observation = replace(observation, context=observation.context[:, :0])
        n_users, n_candidates = observation.candidates.shape
        result = np.empty((n_users, n_candidates), np.float64)
        device = self.network.device
        for start in range(0, n_users, _TILE):
            rows = np.minimum(np.arange(start, start + _TILE), n_users - 1)
            arrays = observation.take(rows).as_dict()
            tensors = {name: torch.as_tensor(array, device=device) for name, array in arrays.items()}
            with torch.no_grad():
                scores = self.network.scores(tensors).double().cpu().numpy()
            stop = min(start + _TILE, n_users)
            result[start:stop] = scores[: stop - start]
        return result
