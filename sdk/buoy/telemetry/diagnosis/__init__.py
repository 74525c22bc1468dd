"""What ``buoy doctor`` knows: how OpenTelemetry is configured, what its endpoints answer, and what is wrong with that.

Nothing imports this but the command. All of it needs the extra ``otel``, and nothing of it is needed by a call.
"""
