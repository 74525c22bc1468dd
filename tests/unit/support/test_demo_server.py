"""The demo server over real sockets: every fault does what its name says, and the log tells exactly what happened."""

import ast
import asyncio
import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buoy.cli.demo.faults import OK, PLAN, Cut, Dice, Fault
from buoy.cli.demo.journal import Journal
from buoy.cli.demo.quota import Quota
from buoy.cli.demo.server import Server
from tests.unit.support.demo_server import HOST, MODULE, Served, ask
from tests.unit.support.process import PATIENCE, ROOT, running, until

TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"
BY_STATUS = [fault for fault in PLAN if fault.status is not None and fault.cut is Cut.NOWHERE]


def raw(fault: str) -> bytes:
    """Return a request that asks for a fault, as bytes."""
    return f"GET /products/7 HTTP/1.1\r\nHost: shop\r\nX-Fault: {fault}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("asked", "body", "status", "operation"),
    [
        ("GET /products/7", None, 200, "GET /products/{id}"),
        ("GET /products/9999", None, 404, "GET /products/{id}"),
        ("GET /products/7/reviews", None, 200, "GET /products/{id}/reviews"),
        ("GET /products?status=active", None, 200, "GET /products"),
        ("GET /offers", None, 200, "GET /offers"),
        ("POST /orders", {"product": "7"}, 201, "POST /orders"),
        ("POST /orders", [], 422, "POST /orders"),
        ("POST /orders", None, 422, "POST /orders"),
        ("PUT /stock/7", {"quantity": 3}, 200, "PUT /stock/{id}"),
        ("PUT /stock/7", {"quantity": -3}, 422, "PUT /stock/{id}"),
        ("DELETE /carts/c%201", None, 200, "DELETE /carts/{id}"),
        ("GET /orders/9999", None, 404, "GET /orders/{id}"),
        ("PUT /reports/7", [], 200, "PUT /reports/{id}"),
        ("POST /checkouts", [], 422, "POST /checkouts"),
        ("DELETE /products/7", None, 405, "DELETE _OTHER"),
        ("GET /nothing", None, 404, "GET _OTHER"),
    ],
)
def test_operations(shop: Served, asked: str, body: object, status: int, operation: str) -> None:
    """Every operation answers JSON, and is logged under its template with the traceparent it carried."""
    method, _, path = asked.partition(" ")
    assert shop.ask(method, path, body, traceparent=TRACEPARENT)[0] == status
    request, answer = shop.logged("request", "answer")
    logged = {name: request[name] for name in ("method", "operation", "traceparent", "fault", "key")}
    expected = {"method": method, "operation": operation, "traceparent": TRACEPARENT, "fault": "ok", "key": None}
    assert logged == expected
    assert (answer["seq"], answer["status"], answer["sent"]) == (request["seq"], status, "whole")


def test_list_is_filtered_by_status(shop: Served) -> None:
    """``?status=`` keeps the products of that status."""
    _, everything = shop.ask("GET", "/products")
    _, active = shop.ask("GET", "/products?status=active")
    assert 0 < len(active["data"]) < len(everything["data"])
    assert {product["status"] for product in active["data"]} == {"active"}


def test_connection_is_kept(shop: Served) -> None:
    """Several requests go over one connection, and each gets an id of its own."""
    connection = shop.connect()
    ids = [ask(connection, "GET", "/products/1")[2].headers["X-Request-Id"] for _ in range(3)]
    connection.close()
    assert ids == [f"req_{line['seq']}" for line in shop.log("request")]
    assert len(set(ids)) == 3


def test_connection_is_closed_when_asked_to(shop: Served) -> None:
    """``Connection: close`` ends the connection behind the answer."""
    with shop.dial() as client:
        client.sendall(b"GET /products/7 HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert client.makefile("rb").read().startswith(b"HTTP/1.1 200 OK\r\n")


def test_chunked_body_is_read(shop: Served) -> None:
    """A body without a length is read chunk by chunk."""
    connection = shop.connect()
    chunks = iter([b'{"quan', b'tity": 5}'])
    connection.request("PUT", "/stock/7", chunks, {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    assert answer == {"id": "7", "quantity": 5}


def test_key_makes_one_order(shop: Served) -> None:
    """A repeated key gets the first order again with 200; another key, or none, makes another order."""
    first = shop.ask("POST", "/orders", {"product": "7"}, Idempotency_Key="secret-1")
    again = shop.ask("POST", "/orders", {"product": "7"}, Idempotency_Key="secret-1")
    other = shop.ask("POST", "/orders", {"product": "7"}, Idempotency_Key="secret-2")
    bare = shop.ask("POST", "/orders", {"product": "7"})
    assert [status for status, _ in (first, again, other, bare)] == [201, 200, 201, 201]
    assert again[1] == first[1]
    assert len({order["id"] for _, order in (first, other, bare)}) == 3
    keys = [line["key"] for line in shop.log("request")]
    assert keys == [keys[0], keys[0], keys[0] + 1, None]
    assert "secret" not in json.dumps(shop.log())


def test_order_behind_a_cut_answer_was_made(shop: Served) -> None:
    """A request reset after it was read was carried out: its key says so afterwards."""
    with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
        shop.ask("POST", "/orders", {"product": "7"}, Idempotency_Key="cut", X_Fault="reset-after-read")
    assert shop.ask("POST", "/orders", {"product": "7"}, Idempotency_Key="cut")[0] == 200


@pytest.mark.parametrize("fault", BY_STATUS, ids=[fault.name for fault in BY_STATUS])
def test_status_faults(shop: Served, fault: Fault) -> None:
    """A fault with a status answers it, with Retry-After where the plan says so, and keeps the connection."""
    connection = shop.connect()
    status, _, response = ask(connection, "POST", "/orders", {}, X_Fault=fault.name, Idempotency_Key=fault.name)
    retry_after = None if fault.retry_after is None else str(fault.retry_after)
    assert (status, response.headers["Retry-After"]) == (fault.status, retry_after)
    assert ask(connection, "POST", "/orders", {}, Idempotency_Key=fault.name)[0] == 201, "no order was made before"
    connection.close()
    logged = shop.log("answer")[0]
    assert (logged["fault"], logged["retry_after"]) == (fault.name, fault.retry_after)


def test_quota_is_told_and_kept(tmp_path: Path) -> None:
    """Every answer tells what is left in this second; beyond it there is a 429, and nothing is done."""
    log = tmp_path / "server.jsonl"
    with running(MODULE, "--log", str(log), "--faults", "none", "--quota", "2") as own:
        shop = Served(own, log)
        connection = shop.connect()
        answers: list[tuple[int, str | None]] = []
        # A window ends after a second, wherever we are: sooner or later three requests are in the same one.
        while [status for status, _ in answers].count(429) == 0:
            status, _, response = ask(connection, "POST", "/orders", {})
            answers.append((status, response.headers["RateLimit"]))
            assert response.headers["RateLimit-Policy"] == '"client";q=2;w=1'
            assert response.headers["Retry-After"] is None
        connection.close()
        lines = until(lambda: shop.log("answer") if len(shop.log("answer")) == len(answers) else None)
    assert answers[-3:] == [(201, '"client";r=1;t=1'), (201, '"client";r=0;t=1'), (429, '"client";r=0;t=1')]
    assert [(line["status"], line["remaining"], line["fault"]) for line in lines[-3:]] == [
        (201, 1, "ok"),
        (201, 0, "ok"),
        (429, 0, "quota"),
    ]


def test_quota_begins_anew() -> None:
    """A window begins with the first request after the one before has ended; without a limit there is none."""
    quota = Quota(1)
    taken = [quota.take(now) for now in (10.0, 10.9, 11.0, 11.9, 12.5)]
    assert taken == [True, False, True, False, True]
    assert (quota.remaining(), quota.headers(13.4)["RateLimit"]) == (0, '"client";r=0;t=1')
    free = Quota(None)
    assert [free.take(1.0) for _ in range(3)] == [True] * 3
    assert (free.remaining(), free.headers(1.0)) == (None, {})


def test_slow_answer_is_logged_as_read_before_it_is_answered(shop: Served) -> None:
    """The request is in the log well before its answer, and the answer comes whole."""
    assert shop.ask("GET", "/products/1", X_Fault="slow")[0] == 200
    request, answer = shop.logged("request", "answer")
    assert answer["sent"] == "whole"
    assert answer["time"] - request["time"] >= 0.25e9


def test_client_that_left_is_noticed(shop: Served) -> None:
    """A client that went away before the answer is logged as gone, and nothing as sent."""
    with shop.dial() as client:
        client.sendall(raw("slow"))
        client.shutdown(socket.SHUT_WR)  # its end comes right behind the request, long before a slow answer
        answer = shop.answer()
    assert answer == {"status": None, "sent": "nothing", "left": True, "fault": "slow", "retry_after": None}


def test_reset_after_read(shop: Served) -> None:
    """The request is read and logged, then the connection is reset without a byte."""
    with shop.dial() as client:
        client.sendall(raw("reset-after-read"))
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    answer = shop.answer()
    assert (answer["status"], answer["sent"], answer["left"]) == (None, "nothing", False)


def test_truncated_body(shop: Served) -> None:
    """Fewer bytes come than promised, then the end of the connection."""
    connection = shop.connect()
    connection.request("GET", "/products/1", headers={"X-Fault": "truncated"})
    response = connection.getresponse()
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    connection.close()
    answer = shop.answer()
    assert (response.status, answer["status"], answer["sent"]) == (200, None, "part")


def test_close_idle(shop: Served) -> None:
    """A whole answer that promises to keep the connection, and then its end, in order."""
    connection = shop.connect()
    status, _, response = ask(connection, "GET", "/products/1", X_Fault="close-idle")
    assert (status, response.headers["Connection"]) == (200, None)
    assert connection.sock.recv(1) == b""
    connection.close()
    shop.logged("request", "answer", "closed_idle")


def test_reset_next(shop: Served) -> None:
    """The next request on the connection is reset before it is read: it is no request in the log."""
    connection = shop.connect()
    ask(connection, "GET", "/products/1", X_Fault="reset-next")
    with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
        ask(connection, "GET", "/products/2")
    connection.close()
    shop.logged("request", "answer", "reset_unread")


def test_restart_refuses_and_drops(mortal: Served) -> None:
    """In a restart the request in flight and idle connections are reset, and new ones are refused."""
    idle = mortal.connect()
    ask(idle, "GET", "/products/1")
    with mortal.dial() as client:
        client.sendall(raw("restart"))
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with pytest.raises(ConnectionResetError):
        idle.sock.recv(1)
    idle.close()
    with pytest.raises(ConnectionRefusedError):
        mortal.dial()
    assert mortal.process.end() == 0
    (closed,) = mortal.log("closed")
    assert (closed["reason"], closed["unread"], closed["in_flight"]) == ("restart", 1, 1)
    last = mortal.log("answer")[-1]
    assert (last["seq"], last["status"], last["fault"]) == (2, None, "restart")


def test_restart_comes_back_on_the_same_port(shop: Served) -> None:
    """After a restart the same port answers again."""
    with shop.dial() as client:
        client.sendall(raw("restart"))
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    (back,) = until(lambda: shop.log("listening") or None)
    assert back["port"] == shop.process.port
    assert shop.ask("GET", "/products/1")[0] == 200


def test_stop_ends_requests_in_flight(mortal: Served) -> None:
    """Stopping resets what is in flight and says in the log how each request ended."""
    with mortal.dial() as client:
        client.sendall(raw("hang"))
        until(lambda: mortal.log("request") or None)
        assert mortal.process.end() == 0
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    answer = mortal.answer()
    assert (answer["status"], answer["sent"], answer["fault"]) == (None, "nothing", "stop")


async def test_connections_that_nobody_accepted_are_dropped_and_counted(tmp_path: Path) -> None:
    """A connection that the kernel has accepted and the server has not is reset by a restart, and counted unread."""
    journal = Journal(tmp_path / "log")
    server = Server(0, Dice(1, "none"), journal, away=0.01, restarts=False)
    server.listen()
    waiting = [socket.create_connection((HOST, server.port), timeout=PATIENCE) for _ in range(3)]
    assert server._socket is not None
    server._close(server._socket, "restart")
    await server.stop()
    journal.close()
    assert [line["unread"] for line in _lines_of(tmp_path / "log", "closed")] == [3]
    for client in waiting:
        with client, pytest.raises(ConnectionResetError):
            client.recv(1)


async def test_connections_just_accepted_are_dropped_and_counted(tmp_path: Path) -> None:
    """A connection that the loop accepts while the server goes away is reset too; two restarts at once are one."""
    journal = Journal(tmp_path / "log")
    server = Server(0, Dice(1, "none"), journal, away=0.01, restarts=False)
    server.listen()
    waiting = [socket.create_connection((HOST, server.port), timeout=PATIENCE) for _ in range(3)]
    server.restart()
    server.restart()
    await asyncio.to_thread(until, lambda: _lines_of(tmp_path / "log", "listening")[1:] or None)
    for client in waiting:
        with client, pytest.raises(ConnectionResetError):
            await asyncio.to_thread(client.recv, 1)
    await server.stop()
    journal.close()
    restart, _stop = _lines_of(tmp_path / "log", "closed")
    assert restart["unread"] + len(_lines_of(tmp_path / "log", "reset_unread")) == 3


async def test_random_restarts_are_counted_from_the_first_connection(tmp_path: Path) -> None:
    """Nothing restarts before somebody connects; then the restarts that the dice chose come."""

    class Hasty(Dice):
        def restarts(self) -> list[float]:
            return [0.0, 3600.0]

    journal = Journal(tmp_path / "log")
    server = Server(0, Hasty(1, "none"), journal, away=0.01, restarts=True)
    server.listen()
    await asyncio.sleep(0)
    assert _lines_of(tmp_path / "log", "closed") == []
    with socket.create_connection((HOST, server.port), timeout=PATIENCE):
        await asyncio.to_thread(until, lambda: _lines_of(tmp_path / "log", "listening")[1:] or None)
    await server.stop()
    journal.close()


async def test_restart_that_fails_is_not_silent(tmp_path: Path) -> None:
    """A server that cannot come back says so when it ends."""

    class Stuck(Server):
        def listen(self) -> None:
            if self._restarts:
                raise OSError("the port is gone")
            super().listen()

    journal = Journal(tmp_path / "log")
    server = Stuck(0, Dice(1, "none"), journal, away=0.0, restarts=False)
    server.listen()
    server.restart()
    await asyncio.wait(server._restarts or ())
    with pytest.raises(OSError, match="the port is gone"):
        await server.stop()
    journal.close()


def _lines_of(path: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [line for line in lines if line["event"] == event]


@pytest.mark.parametrize("name", ["nonsense", "reset-before-read"])
def test_impossible_fault_is_refused(shop: Served, name: str) -> None:
    """A fault that does not exist, or comes too late, is answered 400 with the reason."""
    status, answer = shop.ask("GET", "/products/1", X_Fault=name)
    assert status == 400
    assert answer["error"].startswith("X-Fault")


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: much\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
    ],
)
def test_malformed_request_is_answered_400(shop: Served, sent: bytes) -> None:
    """What is not HTTP/1.1 gets 400 and a line of its own, and is no request."""
    with shop.dial() as client:
        client.sendall(sent)
        assert client.makefile("rb").readline().startswith(b"HTTP/1.1 400 ")
    shop.logged("malformed")


def test_client_that_stops_in_the_middle_is_no_request(shop: Served) -> None:
    """Half a request is nothing that was read."""
    with shop.dial() as client:
        client.sendall(raw("ok")[:-2])
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert shop.log() == []


@pytest.mark.parametrize("stdin", [subprocess.DEVNULL, subprocess.PIPE], ids=["nobody", "parent"])
def test_sigterm_ends_it(tmp_path: Path, stdin: int) -> None:
    """SIGTERM stops it cleanly, whether or not somebody holds its stdin."""
    with running(MODULE, "--log", str(tmp_path / "log"), stdin=stdin) as own:
        own.popen.send_signal(signal.SIGTERM)
        assert own.popen.wait(PATIENCE) == 0


def test_sigint_is_the_parents_business(mortal: Served) -> None:
    """Ctrl-C reaches the whole process group: while the parent holds its stdin, the server goes on."""
    mortal.process.popen.send_signal(signal.SIGINT)
    assert mortal.ask("GET", "/products/1")[0] == 200


def test_sigint_ends_it_alone(tmp_path: Path) -> None:
    """Without a parent that holds its stdin, Ctrl-C stops it."""
    with running(MODULE, "--log", str(tmp_path / "log"), stdin=subprocess.DEVNULL) as own:
        own.popen.send_signal(signal.SIGINT)
        assert own.popen.wait(PATIENCE) == 0


def test_random_faults_follow_the_seed(tmp_path: Path) -> None:
    """With random faults on, one client sees the sequence that the seed draws."""
    log = tmp_path / "server.jsonl"
    dice = Dice(5, "all")
    with running(MODULE, "--log", str(log), "--seed", "5", "--no-restarts") as own:
        shop = Served(own, log)
        for _ in range(12):
            try:
                shop.ask("GET", "/products/1")
            except (OSError, http.client.HTTPException):
                continue
        seen = [line["fault"] for line in shop.log("request")]
    drawn = []
    for _ in range(12):
        fault = dice.fault()
        dice.delay(fault)
        drawn.append(fault.name)
    assert seen == [name for name in drawn if name != "reset-before-read"]


def test_dice_are_a_function_of_the_seed() -> None:
    """The same seed makes the same run, another seed another, and without faults nothing is random."""

    def rolled(seed: int) -> list[str]:
        dice = Dice(seed, "all")
        return [str(dice.restarts()), *(dice.fault().name for _ in range(200))]

    assert rolled(1) == rolled(1)
    assert rolled(1) != rolled(2)
    calm = Dice(1, "none")
    assert (calm.restarts(), {calm.fault() for _ in range(200)}) == ([], {OK})


def test_plan_adds_up() -> None:
    """The weights are per thousand requests, and every random fault comes up sooner or later."""
    assert sum(fault.weight for fault in PLAN) == 1000
    dice = Dice(3, "all")
    seen = {dice.fault().name for _ in range(5000)}
    assert seen == {fault.name for fault in PLAN if fault.weight}
    assert {len(Dice(seed, "all").restarts()) for seed in range(20)} == {1, 2}


def test_nothing_of_the_sdk_is_used() -> None:
    """The server and the receiver import the standard library, OTLP's messages and each other: no part of Buoy."""
    demo = ROOT / "sdk/buoy/cli/demo"
    served = (
        "wire",
        "site",
        "shop",
        "depot",
        "feeds",
        "quota",
        "faults",
        "journal",
        "delivery",
        "connection",
        "server",
    )
    names = ("lifeline", *served, "figures", "receiver")
    allowed = {*sys.stdlib_module_names, *(f"buoy.cli.demo.{name}" for name in names)}
    for name in names:
        for module in imported(demo / f"{name}.py"):
            known = module in allowed or module.split(".")[0] in allowed
            assert known or module.startswith(("opentelemetry.proto.", "google.protobuf.")), f"{name} imports {module}"


def imported(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module or "."
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
