"""Programs that make, generate and check this repository. Nothing here is shipped."""
