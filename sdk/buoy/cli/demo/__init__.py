"""The demo: its provider server and its OTLP receiver run as processes of their own and import nothing of the SDK."""
