"""Spans, metrics, logs and their set-up, one part at a time."""
