"""What is emitted, compared with what ``buoy.contract`` says."""
