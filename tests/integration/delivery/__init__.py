"""What becomes of telemetry however a service lives and ends: real processes, a real receiver, exact figures."""
