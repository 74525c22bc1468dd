"""Recipes: a provider, and what it does as operations."""
