"""HTTP over real sockets, against servers that misbehave on purpose."""
