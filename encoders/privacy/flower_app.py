"""The federated rounds, run by Flower: `python -m encoders.privacy.flower_app FOLDER`, in Flower's own environment.

`encoders.privacy.federated` writes the folder, calls this, and reads `weights.npz`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from encoders.privacy.federated import get_weights, read_folder, set_weights, update_adapter
from encoders.storage import write_npz

__all__ = ["main"]


def main(folder: Path) -> None:
    """Simulate all shops of `folder` and write the averaged weights."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    from flwr.client import ClientApp, NumPyClient
    from flwr.common import Context, ndarrays_to_parameters, parameters_to_ndarrays
    from flwr.server import ServerApp, ServerAppComponents, ServerConfig
    from flwr.server.strategy import FedAvg
    from flwr.simulation import run_simulation

    config, n_shops, start, _, _ = read_folder(folder)

    class Client(NumPyClient):  # type: ignore[misc, unused-ignore]
        """One shop: reads its own file, learns, and hands back weights."""

        def __init__(self, number: int) -> None:
            self.number = number

        def fit(self, parameters: list[Any], given: dict[str, Any]) -> tuple[list[Any], int, dict[str, Any]]:
            config, _, adapter, item, shop = read_folder(folder, self.number)
            assert shop is not None
            set_weights(adapter, parameters)
            weight = update_adapter(
                adapter, shop, item, config, round_number=int(given["round"]), shop_number=self.number
            )
            return get_weights(adapter), weight, {}

    class Keep(FedAvg):  # type: ignore[misc, unused-ignore]
        """Federated averaging that keeps the average of the last round."""

        def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
            if failures:
                raise RuntimeError(f"{len(failures)} of {n_shops} shops failed: {failures[0]}")
            parameters, metrics = super().aggregate_fit(server_round, results, failures)
            if server_round == config.rounds and parameters is not None:
                arrays = parameters_to_ndarrays(parameters)
                write_npz(
                    folder / "weights.npz", {f"weight_{n}": np.asarray(a) for n, a in enumerate(arrays)}
                )
            with (folder / "rounds.txt").open("a", encoding="utf-8") as done:
                done.write(f"{server_round}\n")
            return parameters, metrics

    def client_fn(context: Context) -> Any:
        return Client(int(context.node_config["partition-id"])).to_client()

    def server_fn(context: Context) -> Any:
        strategy = Keep(
            fraction_fit=1.0,
            fraction_evaluate=0.0,
            min_fit_clients=n_shops,
            min_available_clients=n_shops,
            initial_parameters=ndarrays_to_parameters(get_weights(start)),
            on_fit_config_fn=lambda number: {"round": number},
        )
        return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=config.rounds))

    run_simulation(
        server_app=ServerApp(server_fn=server_fn),
        client_app=ClientApp(client_fn=client_fn),
        num_supernodes=n_shops,
        backend_config={"init_args": {"num_cpus": 1}, "client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
