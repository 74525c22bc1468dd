"""The pure parts of HTTP: tables, headers, URLs, bodies, credentials."""
