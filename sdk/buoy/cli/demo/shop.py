"""The shop behind the demo server: its routes, its data, and the orders it remembers by key. Knows no connections."""

import json
from dataclasses import dataclass, field

from buoy.cli.demo.feeds import FORMS, feed, report
from buoy.cli.demo.site import Route, find, operation
from buoy.cli.demo.wire import Answer, Request, as_json, moved

PRODUCTS = 50


PRODUCT = Route("GET", "/products/{id}")
REVIEWS = Route("GET", "/products/{id}/reviews")
LIST = Route("GET", "/products")
OFFERS = Route("GET", "/offers")
ORDER = Route("POST", "/orders")
STOCK = Route("PUT", "/stock/{id}")
CART = Route("DELETE", "/carts/{id}")
MOVE = Route("GET", "/moves/{id}")
LOOP = Route("GET", "/loops/{id}")
AWAY = Route("GET", "/away/{id}")
PARCEL = Route("POST", "/parcels")
CHECKOUT = Route("POST", "/checkouts")
ORDERED = Route("GET", "/orders/{id}")
FEED = Route("GET", "/feeds/{id}")
REPORT = Route("GET", "/reports/{id}")
UPLOAD = Route("PUT", "/reports/{id}")
OWN = (PRODUCT, REVIEWS, LIST, OFFERS, ORDER, ORDERED, STOCK, CART, FEED, REPORT, UPLOAD)
LEADING_ON = (MOVE, LOOP, AWAY, PARCEL, CHECKOUT)
ROUTES = (*OWN, *LEADING_ON)

# What a GET that is redirected may be told: all of these keep it a GET.
MOVED = (301, 302, 303, 307, 308)


@dataclass(slots=True)
class Shop:
    """Products, stock, carts and orders. Everything is made up, deterministic, and forgotten at the end.

    ``depot`` is the origin to which some requests are sent on.
    """

    depot: str = ""
    orders: list[dict[str, object]] = field(default_factory=list)
    stock: dict[str, int] = field(default_factory=dict)
    _keys: dict[str, int] = field(default_factory=dict)
    _by_key: dict[str, dict[str, object]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What its requests are known by."""
        return "shop"

    def operation(self, request: Request) -> str:
        """Return the operation a request asks for, in bounded words."""
        return operation(ROUTES, request)

    def key_number(self, request: Request) -> int | None:
        """Return which idempotency key the request carries, as a number: equal keys, equal numbers, no secret."""
        key = request.headers.get("idempotency-key")
        return None if key is None else self._keys.setdefault(key, len(self._keys) + 1)

    def answer(self, request: Request) -> Answer:
        """Do what the request asks for."""
        route, name = find(ROUTES, request)
        if route is None:
            known = any(other.match(request.path) is not None for other in ROUTES)
            return as_json(405 if known else 404, {"error": "no such operation"})
        if route in LEADING_ON:
            return self._lead_on(route, name, request)
        do = {
            PRODUCT: self._product,
            REVIEWS: self._reviews,
            LIST: self._products,
            OFFERS: self._offers,
            ORDER: self._order,
            ORDERED: self._ordered,
            STOCK: self._set_stock,
            CART: self._drop_cart,
            FEED: self._feed,
            REPORT: self._report,
            UPLOAD: self._upload,
        }[route]
        return do(name, request)

    def _lead_on(self, route: Route, name: str, request: Request) -> Answer:
        """Answer what is to be had elsewhere."""
        if route is CHECKOUT:
            order = json.loads(self._order(name, request).body)
            return moved(303, f"/orders/{order['id']}") if "id" in order else as_json(422, order)
        if route is PARCEL:
            return moved(307, f"{self.depot}/parcels")
        if route is LOOP:
            return moved(302, f"/loops/{name}")
        if route is AWAY:
            return moved(307, f"{self.depot}/parcels/{name}?back=http://{request.headers.get('host', '')}")
        left = int(request.query.get("left", "0"))
        status = MOVED[(_number(name) + left) % len(MOVED)]
        return moved(status, f"/moves/{name}?left={left - 1}" if left > 0 else f"/products/{name}")

    def _ordered(self, name: str, _: Request) -> Answer:
        number = _number(name)
        if not 1 <= number <= len(self.orders):
            return as_json(404, {"error": "no such order"})
        return as_json(200, self.orders[number - 1])

    def _feed(self, name: str, request: Request) -> Answer:
        form = request.query.get("form", "lines")
        return Answer(status=200, kind=FORMS.get(form, "text/plain"), pieces=feed(_number(name), form))

    def _report(self, name: str, request: Request) -> Answer:
        packed = "gzip" in request.headers.get("accept-encoding", "") and _number(name) % 2 == 0
        return Answer(status=200, kind="text/csv", body=report(_number(name)), compressed=packed)

    def _upload(self, name: str, request: Request) -> Answer:
        return as_json(200, {"id": name, "size": len(request.body)})

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


def _number(name: str) -> int:
    return int(name) if name.isdecimal() else 0


def _product(number: int) -> dict[str, object]:
    status = "archived" if number % 5 == 0 else "active"
    return {"id": str(number), "name": f"Product {number}", "status": status, "price": 100 + 7 * number}


def _object(body: bytes) -> dict[str, object] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
