"""What the demo's two sites answer: streams, reports, uploads and redirects, whole and broken off."""

import gzip
import http.client
import json
from pathlib import Path

import pytest

from tests.unit.support.demo_server import HOST, MODULE, Served, ask
from tests.unit.support.process import running, until

END_OF_HEAD = b"\r\n\r\n"


def test_truncated_status_is_told(shop: Served) -> None:
    """A status whose body breaks off was told, and is no whole answer."""
    connection = shop.connect()
    connection.request("GET", "/products/1", headers={"X-Fault": "503-truncated"})
    response = connection.getresponse()
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    connection.close()
    (answer,) = until(lambda: shop.log("answer") or None)
    assert (response.status, answer["told"], answer["status"], answer["sent"]) == (503, 503, None, "part")


def test_broken_chunk(shop: Served) -> None:
    """Half of the body comes in a chunk; what follows is none."""
    received = all_of(shop, "/products/1", "chunk-broken")
    assert b"Transfer-Encoding: chunked" in received
    with pytest.raises(ValueError, match="invalid literal"):
        int(received.partition(END_OF_HEAD)[2].split(b"\r\n")[2], 16)
    assert shop.answer()["sent"] == "part"


def test_cut_gzip(shop: Served) -> None:
    """HTTP has all that it was promised, and the gzip in it has not."""
    head, _, body = all_of(shop, "/products/1", "gzip-cut").partition(END_OF_HEAD)
    assert b"Content-Encoding: gzip" in head
    assert f"Content-Length: {len(body)}".encode() in head
    with pytest.raises(EOFError):
        gzip.decompress(body)
    assert shop.answer()["sent"] == "part"


@pytest.mark.parametrize(("form", "begin"), [("lines", b"item 0"), ("json", b'{"item": 0}'), ("events", b"id: 0")])
def test_feed_is_streamed(shop: Served, form: str, begin: bytes) -> None:
    """A feed comes item by item, in the form that is asked for, and the log has their number."""
    connection = shop.connect()
    connection.request("GET", f"/feeds/3?form={form}")
    response = connection.getresponse()
    body = response.read()
    connection.close()
    assert (response.headers["Transfer-Encoding"], body[: len(begin)]) == ("chunked", begin)
    (answer,) = until(lambda: shop.log("answer") or None)
    assert (answer["sent"], answer["items"], answer["size"]) == ("whole", 7, len(body))


@pytest.mark.parametrize("fault", ["truncated", "chunk-broken"])
def test_feed_breaks_off(shop: Served, fault: str) -> None:
    """A broken feed ends after half of its items, without an end."""
    received = all_of(shop, "/feeds/3", fault)
    assert (b"item 2" in received, b"item 3" in received, received.endswith(b"0\r\n\r\n")) == (True, False, False)
    (answer,) = until(lambda: shop.log("answer") or None)
    assert (answer["sent"], answer["items"]) == ("part", 3)


def test_feed_is_left(shop: Served) -> None:
    """A client that leaves within a feed is noticed at one of its next items."""
    with shop.dial() as client:
        client.sendall(b"GET /feeds/8 HTTP/1.1\r\nHost: shop\r\n\r\n")
        client.recv(1)
    answer = shop.answer()
    assert (answer["status"], answer["sent"], answer["left"]) == (None, "part", True)


def test_report_is_compressed_for_who_takes_it(shop: Served) -> None:
    """A report is the same with and without gzip, and its size is that of the report."""
    connection = shop.connect()
    bodies = []
    for headers in ({"Accept-Encoding": "gzip"}, {"Accept-Encoding": "identity"}):
        connection.request("GET", "/reports/2", headers=headers)
        response = connection.getresponse()
        body = response.read()
        bodies.append(gzip.decompress(body) if response.headers["Content-Encoding"] == "gzip" else body)
    connection.close()
    answers = until(lambda: shop.log("answer") if len(shop.log("answer")) == len(bodies) else None)
    assert bodies[0] == bodies[1]
    assert [answer["size"] for answer in answers] == [len(bodies[0])] * 2


def test_upload_is_reset(shop: Served) -> None:
    """A request that is reset within its body is one that was read: its head was."""
    with shop.dial() as client:
        client.sendall(b"PUT /reports/7 HTTP/1.1\r\nX-Fault: reset-in-upload\r\nContent-Length: 9\r\n\r\nabc")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    answer = shop.answer()
    assert (answer["status"], answer["sent"], answer["fault"]) == (None, "nothing", "reset-in-upload")


def test_redirects_name_who_sent_us(shop: Served) -> None:
    """A redirect carries the number of the request that got it, and the next request says so in the log."""
    connection = shop.connect()
    places = []
    path = "/moves/7?left=2"
    while path is not None:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        path = response.headers["Location"]
        places.append((response.status, path and path.partition("?")[0]))
    connection.close()
    assert places == [(308, "/moves/7"), (307, "/moves/7"), (303, "/products/7"), (200, None)]
    requests = shop.log("request")
    assert [line["via"] for line in requests] == [None, *(f"shop-{line['seq']}" for line in requests[:-1])]
    answers = until(lambda: shop.log("answer") if len(shop.log("answer")) == len(requests) else None)
    assert [line["moved"] for line in answers] == [True, True, True, False]


def test_checkout_leads_to_its_order(shop: Served) -> None:
    """A checkout is answered by where its order is."""
    connection = shop.connect()
    connection.request("POST", "/checkouts", json.dumps({"product": "7"}))
    response = connection.getresponse()
    response.read()
    status, order, _ = ask(connection, "GET", response.headers["Location"])
    connection.close()
    assert (response.status, status, order["product"]) == (303, 200, "7")


def test_loop_has_no_end(shop: Served) -> None:
    """A loop leads to itself."""
    connection = shop.connect()
    connection.request("GET", "/loops/7")
    response = connection.getresponse()
    response.read()
    connection.close()
    assert (response.status, response.headers["Location"].partition("?")[0]) == (302, "/loops/7")


def test_depot_is_another_origin_that_writes_down_all_it_is_told(tmp_path: Path) -> None:
    """The shop leads to the depot, which leads back for some parcels, and logs whole heads."""
    log = tmp_path / "depot.jsonl"
    with running(MODULE, "--log", str(log), "--site", "depot", "--faults", "none") as own:
        depot = Served(own, log)
        origin = f"http://{HOST}:{own.port}"
        with running(MODULE, "--log", str(tmp_path / "shop"), "--faults", "none", "--depot", origin) as leading:
            shop = Served(leading, tmp_path / "shop")
            there = [moved(shop, "GET", "/away/3"), moved(shop, "GET", "/away/4"), moved(shop, "POST", "/parcels")]
        back = [moved(depot, "GET", there[0][1]), moved(depot, "GET", there[1][1])]
        sent = depot.ask("POST", there[2][1], [], Authorization="Bearer x", Idempotency_Key="k")
    assert [status for status, _ in there] == [307, 307, 307]
    assert all(place.startswith(f"{origin}/parcels") for _, place in there)
    assert back[0] == (302, f"http://{HOST}:{leading.port}/products/3?via=depot-1")
    assert (back[1], sent) == ((200, ""), (201, {"size": 2}))
    last = depot.log("request")[-1]
    assert ("authorization" in last["headers"], last["key"], last["via"]) == (True, 1, "shop-3")
    assert "Authorization: Bearer x" in last["head"]


def moved(served: Served, method: str, target: str) -> tuple[int, str]:
    """Ask for what leads elsewhere; return the status, and where to ("" where nowhere)."""
    connection = served.connect()
    connection.request(method, target, b"[]" if method == "POST" else None)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, response.headers["Location"] or ""


def all_of(shop: Served, path: str, fault: str) -> bytes:
    """Return everything that comes on a connection for one request."""
    with shop.dial() as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: shop\r\nX-Fault: {fault}\r\n\r\n".encode())
        return client.makefile("rb").read()
