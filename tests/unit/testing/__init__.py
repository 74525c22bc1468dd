"""Tests of what Buoy offers to the tests of others, without sockets."""
