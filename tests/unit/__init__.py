"""Tests that stay within one process and wait for nothing real, mirroring `sdk/buoy`."""
