"""The demo's service: what a service developer writes. All that Buoy does for the shop follows from these lines."""

from typing import Any

import buoy

NO_OFFERS: dict[str, Any] = {"data": []}


def from_catalogue(error: Exception) -> dict[str, Any]:
    """Return what the service knows itself of the products, and why it had to."""
    return {"data": [{"id": "7", "name": "Product 7"}], "because": type(error).__name__}


class Shop(
    buoy.Provider,
    timeout=buoy.Timeout(total=6, attempt=1.5),
    retry=buoy.Retry(max_attempts=4, base=0.05),
    breaker=buoy.Breaker(window=1, wait=0.5),  # the memory of a demo is short
    concurrency=buoy.Concurrency(3, max_wait=0.2),
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
