"""The pure policies: tables for examples, laws by hypothesis."""
