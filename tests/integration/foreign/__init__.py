"""HTTP against servers that are not ours."""
