from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from behavior.errors import InputError
from benchmarks.speed.parts import PARTS
from benchmarks.speed.replay_network import Recorder, replay
from benchmarks.training import TrainingSpeedOptions, measure


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3, bias=False)
        self.forward_calls = 0

    def forward(self, x: Tensor) -> dict[str, Any]:
        self.forward_calls += 1
        return {"out": (self.layer(x), "a word"), "in": x}

    def act(self, x: Tensor) -> Any:
        return self(x)["out"][0].argmax(1)


def test_calls_are_recorded_with_what_they_were_for() -> None:
    net, page = Net(), torch.ones(2, 4)
    recorder = Recorder([(net, "forward"), (net, "act")])
    net(page)
    with recorder.recording():
        with torch.no_grad():
            net.act(page)  # its own call of forward is part of it
        net(x=page)
    net(page)
    assert [call.learns for call in recorder.calls] == [False, True]
    assert recorder.calls[1].named == {"x": page}
    assert "forward" not in vars(net)
    assert "act" not in vars(net)

    net.forward_calls = 0
    replay(recorder.calls, list(net.parameters()))
    assert net.forward_calls == 2
    assert net.layer.weight.grad is None  # nothing is left to pile up


def test_the_arithmetic_is_that_of_forward_and_backward() -> None:
    net, page = Net(), torch.ones(2, 4)
    recorder = Recorder([(net, "forward")])
    with recorder.recording():
        net(page)
        with torch.no_grad():
            net(page)
    with FlopCounterMode(display=False) as counter:
        replay(recorder.calls, list(net.parameters()))
    # A product of (2, 4) and (4, 3) is 2 x 2 x 4 x 3 operations: two forwards, one gradient of the weights.
    assert counter.get_total_flops() == 3 * 48


def test_a_missing_device_is_said() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(InputError, match="no CUDA device"):
        measure(TrainingSpeedOptions(device="cuda"))


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["ppo", "dqn"])
def test_learners_can_be_timed(agent: str) -> None:
    found = {
        row.case.removeprefix(f"{agent}, B 64: "): row
        for row in PARTS["training"](agent=agent, n_users=64, rounds=1, iterations=1, small=True)
    }
    assert all(row.value > 0 for row in found.values())
    split = [found[f"of its time {part}"].value for part in ("simulator", "policy", "update", "watching")]
    assert sum(split) == pytest.approx(1.0)
    first = found["end to end (reference: its network alone)"]
    assert first.reference is not None
    assert first.reference > first.value * 0.5  # the network alone does a part of the work


@pytest.mark.slow
def test_the_loop_of_sb3_can_be_timed() -> None:
    found = PARTS["sb3_training"](n_users=64, rounds=1, iterations=1, small=True)
    assert len(found) == 2
    assert all(row.ratio is not None and row.ratio > 0 for row in found)
