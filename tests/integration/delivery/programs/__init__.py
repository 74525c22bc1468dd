"""Services that the tests start: each makes a number of calls that is known, and says what it saw."""
