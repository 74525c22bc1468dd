"""What Buoy offers to the tests of others, as they use it: sockets, sessions and pytest are real."""
