"""The shop behind the demo server: its routes, its data, and the orders it remembers by key. Knows no connections."""

import json
import re
from dataclasses import dataclass, field
from typing import NamedTuple

from buoy.cli.demo.wire import Answer, Request, as_json

PRODUCTS = 50


class Route(NamedTuple):
    """One operation the shop offers."""

    method: str
    template: str

    @property
    def operation(self) -> str:
        """The name under which requests for it are logged."""
        return f"{self.method} {self.template}"

    def match(self, path: str) -> str | None:
        """Return the id in ``path`` ("" where the template has none), or ``None`` where it is another path."""
        found = re.fullmatch(self.template.replace("{id}", "([^/]+)"), path)
        if found is None:
            return None
        return found[1] if found.groups() else ""


PRODUCT = Route("GET", "/products/{id}")
REVIEWS = Route("GET", "/products/{id}/reviews")
LIST = Route("GET", "/products")
OFFERS = Route("GET", "/offers")
ORDER = Route("POST", "/orders")
STOCK = Route("PUT", "/stock/{id}")
CART = Route("DELETE", "/carts/{id}")
ROUTES = (PRODUCT, REVIEWS, LIST, OFFERS, ORDER, STOCK, CART)


@dataclass(slots=True)
class Shop:
    """Products, stock, carts and orders. Everything is made up, deterministic, and forgotten at the end."""

    orders: list[dict[str, object]] = field(default_factory=list)
    stock: dict[str, int] = field(default_factory=dict)
    _keys: dict[str, int] = field(default_factory=dict)
    _by_key: dict[str, dict[str, object]] = field(default_factory=dict)

    def operation(self, request: Request) -> str:
        """Return the operation a request asks for, in bounded words."""
        route, _ = _find(request)
        return route.operation if route else f"{request.method} _OTHER"

    def key_number(self, request: Request) -> int | None:
        """Return which idempotency key the request carries, as a number: equal keys, equal numbers, no secret."""
        key = request.headers.get("idempotency-key")
        return None if key is None else self._keys.setdefault(key, len(self._keys) + 1)

    def answer(self, request: Request) -> Answer:
        """Do what the request asks for."""
        route, name = _find(request)
        if route is None:
            known = any(other.match(request.path) is not None for other in ROUTES)
            return as_json(405 if known else 404, {"error": "no such operation"})
        do = {
            PRODUCT: self._product,
            REVIEWS: self._reviews,
            LIST: self._products,
            OFFERS: self._offers,
            ORDER: self._order,
            STOCK: self._set_stock,
            CART: self._drop_cart,
        }[route]
        return do(name, request)

    def _product(self, name: str, _: Request) -> Answer:
        if not name.isdecimal() or not 1 <= int(name) <= PRODUCTS:
            return as_json(404, {"error": "no such product"})
        return as_json(200, _product(int(name)))

    def _reviews(self, name: str, _: Request) -> Answer:
        return as_json(200, {"data": [{"product": name, "stars": 5}]})

    def _products(self, _: str, request: Request) -> Answer:
        status = request.query.get("status")
        found = [_product(number) for number in range(1, PRODUCTS + 1)]
        return as_json(200, {"data": [product for product in found if status in (None, product["status"])]})

    def _offers(self, _: str, __: Request) -> Answer:
        return as_json(200, {"data": [_product(number) for number in range(1, PRODUCTS + 1, 10)]})

    def _order(self, _: str, request: Request) -> Answer:
        draft = _object(request.body)
        if draft is None:
            return as_json(422, {"error": "an order is a JSON object"})
        key = request.headers.get("idempotency-key")
        if key is not None and key in self._by_key:
            return as_json(200, self._by_key[key])
        order = {**draft, "id": len(self.orders) + 1}
        self.orders.append(order)
        if key is not None:
            self._by_key[key] = order
        return as_json(201, order)

    def _set_stock(self, name: str, request: Request) -> Answer:
        wanted = (_object(request.body) or {}).get("quantity")
        if not isinstance(wanted, int) or wanted < 0:
            return as_json(422, {"error": "quantity is a whole number from 0"})
        self.stock[name] = wanted
        return as_json(200, {"id": name, "quantity": wanted})

    def _drop_cart(self, name: str, _: Request) -> Answer:
        return as_json(200, {"id": name, "deleted": True})


def _find(request: Request) -> tuple[Route | None, str]:
    for route in ROUTES:
        name = route.match(request.path)
        if name is not None and route.method == request.method:
            return route, name
    return None, ""


def _product(number: int) -> dict[str, object]:
    status = "archived" if number % 5 == 0 else "active"
    return {"id": str(number), "name": f"Product {number}", "status": status, "price": 100 + 7 * number}


def _object(body: bytes) -> dict[str, object] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
