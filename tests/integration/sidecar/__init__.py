"""The sidecar: a real collector, real back ends, real processes between them."""
