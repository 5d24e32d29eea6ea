"""Candidates from large catalogues: search by vectors, exact or approximate, mixed with popularity and exploration."""
