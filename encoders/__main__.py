"""`python -m encoders`: fine-tune the relevance model on a log, evaluate it, export its tables."""

from __future__ import annotations

import sys
from typing import Annotated

import tyro

from behavior.errors import InputError
from encoders.commands.distil import Distil
from encoders.commands.evaluate import Evaluate
from encoders.commands.explain import Explain
from encoders.commands.export import Export
from encoders.commands.finetune import Finetune
from encoders.commands.finetune_federated import FinetuneFederated
from encoders.commands.finetune_private import FinetunePrivate
from encoders.commands.fuse import Fuse
from encoders.commands.robustness import Robustness
from encoders.commands.update import Update

# One file a subcommand, in `encoders/commands/`: a frozen dataclass of its options with a method `run`.
Command = (
    Annotated[Finetune, tyro.conf.subcommand("finetune")]
    | Annotated[FinetunePrivate, tyro.conf.subcommand("finetune-private")]
    | Annotated[FinetuneFederated, tyro.conf.subcommand("finetune-federated")]
    | Annotated[Update, tyro.conf.subcommand("update")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Explain, tyro.conf.subcommand("explain")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Fuse, tyro.conf.subcommand("fuse")]
    | Annotated[Distil, tyro.conf.subcommand("distil")]
    | Annotated[Robustness, tyro.conf.subcommand("robustness")]
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it went well, 2 where the user has something to mend."""
    command = tyro.cli(Command, prog="python -m encoders", description=__doc__, args=arguments)
    try:
        command.run()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
