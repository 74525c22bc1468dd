"""Tests of declarations, providers and their operations."""
