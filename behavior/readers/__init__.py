"""Readers: tables of one's own (`tables`), and formats as published; `formats` lists them all."""
