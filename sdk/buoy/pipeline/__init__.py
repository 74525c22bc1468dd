"""The only floor that waits: one call, from its first try to its last."""
