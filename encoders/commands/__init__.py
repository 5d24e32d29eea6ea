"""The subcommands of `python -m encoders`, one a file: a config of tyro with a method `run`."""
