"""Decisions, pure: they are told the time and the randomness, and answer with a number or a small record."""
