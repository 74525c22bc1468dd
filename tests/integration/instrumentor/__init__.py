"""Beside the OpenTelemetry instrumentor of aiohttp, which needs an environment of its own: nothing is counted twice."""
