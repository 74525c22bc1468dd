"""Tests of the floor that waits, in virtual time."""
