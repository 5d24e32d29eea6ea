"""Fitting simulators to logs."""
