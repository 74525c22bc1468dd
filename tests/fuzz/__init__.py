"""Bytes from outside, at every place where we read them: nothing but the errors that are named there comes out."""
