"""What type checkers say to callers."""
