"""OpenTelemetry and structlog: how calls become spans, metrics and logs. Only ``setup`` touches the SDK."""
