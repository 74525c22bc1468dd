"""The demo's service: what a service developer writes. All that Buoy does for the shop follows from these lines."""

from typing import Any

import buoy

# What begins like this must reach the shop and nobody else: neither who it redirects to, nor telemetry.
SECRET = "demo-secret"  # noqa: S105  # it guards nothing: it is there to be looked for
NO_OFFERS: dict[str, Any] = {"data": []}


def from_catalogue(error: Exception) -> dict[str, Any]:
    """Return what the service knows itself of the products, and why it had to."""
    return {"data": [{"id": "7", "name": "Product 7"}], "because": type(error).__name__}


class Shop(
    buoy.Provider,
    timeout=buoy.Timeout(total=6, attempt=1.5),
    retry=buoy.Retry(max_attempts=4, base=0.05),
    breaker=buoy.Breaker(window=1, wait=0.5),  # the memory of a demo is short
    concurrency=buoy.Concurrency(4, max_wait=0.2),
    auth=buoy.Bearer(f"{SECRET}-token"),
    cookies=True,
):
    """The provider: its policies above, its operations below, some with policies of their own."""

    product = buoy.get("/products/{id}", name="products.get", joined=True)
    products = buoy.get("/products", name="products.list", fallback=from_catalogue)
    search = buoy.get("/products", name="products.search", limit=buoy.RateLimit(2, max_wait=0.3))
    offers = buoy.get("/offers", name="offers.list", timeout=buoy.Timeout(total=0.8), fallback=NO_OFFERS)
    reviews = buoy.get(
        "/products/{id}/reviews",
        name="reviews.list",
        breaker=buoy.Breaker(window=1, minimum_calls=3, mode="metrics_only"),  # not trusted yet: it only watches
    )
    order = buoy.post("/orders", key_header="Idempotency-Key", name="orders.create")
    note = buoy.post("/orders", name="orders.create_unkeyed")
    stock = buoy.put("/stock/{id}", name="stock.set")
    cart = buoy.delete("/carts/{id}", name="carts.delete")
    # What the provider answers by leading elsewhere: to itself, for ever, and to somebody else.
    moved = buoy.get("/moves/{id}", name="moves.get")
    loop = buoy.get("/loops/{id}", name="loops.get")
    checkout = buoy.post("/checkouts", key_header="Idempotency-Key", name="checkouts.create")
    away = buoy.get("/away/{id}", name="away.get")
    parcel = buoy.post("/parcels", key_header="Idempotency-Key", name="parcels.create")
    # What is large, or takes its time.
    feed = buoy.get("/feeds/{id}", name="feeds.read")
    report = buoy.get("/reports/{id}", name="reports.get")
    upload = buoy.put("/reports/{id}", name="reports.set")
