"""Benchmarks: what a call costs. Programs, not tests."""
