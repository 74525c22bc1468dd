"""Replays behaviour vectors (``buoy-vectors/1``) against the code that is shipped, never against a model of it.

``python -m tests.support.vectors PATH...`` takes files and folders; its last line is ``N passed, M failed``. A new
component is a subclass of :class:`component.Component` and a row in ``offered.py``.
"""
