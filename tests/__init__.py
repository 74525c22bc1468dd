"""The tests: `unit` mirrors `sdk/buoy`, `support` holds the programs and servers that tests and the demo use."""
