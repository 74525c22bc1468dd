"""The policies against real servers: what a server counted is the proof, whatever Buoy says of itself."""
