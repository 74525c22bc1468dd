"""The site behind the demo's second server: another origin, to which the shop redirects. It is nobody's to trust."""

from buoy.cli.demo.site import Route, find, operation
from buoy.cli.demo.wire import Answer, Request, as_json, moved

PARCEL = Route("GET", "/parcels/{id}")
TAKE = Route("POST", "/parcels")
ROUTES = (PARCEL, TAKE)


class Depot:
    """Parcels, all made up. Every third of them is back at whoever asked us, which is where we send them on."""

    name = "depot"

    def operation(self, request: Request) -> str:
        """Return the operation a request asks for, in bounded words."""
        return operation(ROUTES, request)

    def key_number(self, request: Request) -> int | None:
        """Return a number for the key that must not be here."""
        return 1 if "idempotency-key" in request.headers else None

    def answer(self, request: Request) -> Answer:
        """Do what the request asks for."""
        route, name = find(ROUTES, request)
        if route is TAKE:
            return as_json(201, {"size": len(request.body)})
        if route is None or not name.isdecimal():
            return as_json(404, {"error": "no such parcel"})
        if int(name) % 3 == 0:
            return moved(302, f"{request.query.get('back', '')}/products/{name}")
        return as_json(200, {"id": name, "where": "on its way"})
