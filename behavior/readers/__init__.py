"""Readers: tables of one's own (`tables`) and public data sets as published (`open_bandit`)."""
