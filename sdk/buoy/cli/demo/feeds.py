"""What the shop streams and what it hands out as a whole: feeds of numbered items, and reports. Knows no routes."""

import json

FORMS = {"lines": "text/plain", "json": "application/x-ndjson", "events": "text/event-stream"}
_ROW = "{number},product {number},{price}\n"


def feed(number: int, form: str) -> tuple[bytes, ...]:
    """Return the items of a feed, one after the other."""
    return tuple(_item(position, form) for position in range(4 + number % 9))


def report(number: int) -> bytes:
    """Return a report of some kilobytes."""
    rows = (_ROW.format(number=row, price=100 + 7 * row) for row in range(100 + 10 * number))
    return "".join(rows).encode()


def _item(position: int, form: str) -> bytes:
    if form == "lines":
        return f"item {position}\n".encode()
    text = json.dumps({"item": position})
    return f"id: {position}\ndata: {text}\n\n".encode() if form == "events" else f"{text}\n".encode()
