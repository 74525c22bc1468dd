"""A provider as somebody who uses Buoy has one, and whose tests these are."""

from pydantic import BaseModel

import buoy


class Product(BaseModel):
    """A model."""

    id: str


class Shop(buoy.Provider, base_url="https://api.shop.example/v2"):
    """Its calls are tried again at once: a test does not wait."""

    retry = buoy.Retry(base=0.001)

    product = buoy.get("/products/{id}", Product)
    order = buoy.post("/orders")
    keyed = buoy.post("/orders", name="keyed", key_header="Idempotency-Key")
