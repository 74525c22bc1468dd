"""What reaches a real OTLP receiver: unsampled, overflowing, and with exemplars."""
