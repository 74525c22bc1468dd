"""Tests of the programs that judge and stand in: the judge, the demo server and its receiver."""
