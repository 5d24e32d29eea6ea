"""The main job: its configuration, its run folder, and the stages from a log to a report."""
