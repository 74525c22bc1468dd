"""The programs of ``docs/how-to/forking.md``, as they stand there: each is run by a test, with the real server."""
