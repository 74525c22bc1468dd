"""``buoy call URL``: what it sends, what it tells, and what it keeps to itself."""

import random
import re

import pytest

from tests.integration.cli.conftest import Buoy
from tests.integration.cli.server import JSON, Reply, Server, serving, unused_port
from tests.support.telemetry import Observed

UNAVAILABLE = Reply(503, b"", {})


def lines(text: str, label: str) -> list[str]:
    """Return the lines of a story that begin with ``label``, without it and without their times."""
    found = [line for line in text.splitlines() if line.startswith(f"{label} ")]
    return [re.sub(r"\d+\.\d+ ms", "TIME", line.removeprefix(label).strip()) for line in found]


def test_a_success_is_told(server: Server, buoy_call: Buoy) -> None:
    """One try, the status, the size and type of the body, where the time went; and exit code 0."""
    ran = buoy_call(f"{server.url}/items/7")
    assert (ran.code, ran.err) == (0, "")
    assert f"GET {server.url}/items/7" == ran.out.splitlines()[0]
    assert lines(ran.out, "try 1") == ["first, TIME: HTTP 200"]
    assert lines(ran.out, "success") == ["HTTP 200, 1 try"]
    assert lines(ran.out, "body") == ["7 bytes, application/json"]
    assert lines(ran.out, "time") == ["TIME = TIME sending and receiving + TIME waiting + TIME our own"]
    assert lines(ran.out, "trace") == []


def test_a_repaired_call_tells_every_try_and_wait(server: Server, buoy_call: Buoy) -> None:
    """The failed try, the wait with who chose it, and the try that succeeded; and exit code 0."""
    server.script = [Reply(503, b"", {"X-Request-Id": "req-1"}), Reply()]
    ran = buoy_call(f"{server.url}/")
    assert ran.code == 0
    told = "first, TIME: HTTP 503, service_unavailable: the provider is not available now, request id req-1"
    assert [told] == lines(ran.out, "try 1")
    assert lines(ran.out, "wait") == ["backoff of TIME, chosen by us, after service_unavailable"]
    assert lines(ran.out, "try 2") == ["retry, TIME: HTTP 200"]
    assert lines(ran.out, "success") == ["HTTP 200, 2 tries"]


def test_a_write_refused_by_a_rate_limit_is_tried_again(server: Server, buoy_call: Buoy) -> None:
    """A 429 says that nothing was done, so a POST is repeated too."""
    server.script = [Reply(429, b"", {"Retry-After": "0"}), Reply()]
    random.seed(1514)  # the first number drawn is 0.0005: the wait after throttling is drawn from a whole second
    ran = buoy_call(f"{server.url}/", "--data", "x")
    assert ran.code == 0
    assert lines(ran.out, "try 1") == [
        "first, TIME: HTTP 429, rate_limited: the provider's rate limit is reached, retry after 0 s"
    ]
    assert len(server.requests) == 2


def test_the_headers_that_mattered_are_told(server: Server, buoy_call: Buoy) -> None:
    """Rate limits and Retry-After are shown, by whichever spelling; other headers are not."""
    limits = {"X-RateLimit-Remaining": "0", "RateLimit-Policy": "10;w=1", "Retry-After": "0", "X-Other": "CANARY"}
    server.script = [Reply(429, b"", limits)]
    ran = buoy_call(f"{server.url}/", "--attempts", "1")
    assert ran.code == 1
    assert lines(ran.out, "header") == ["X-RateLimit-Remaining: 0", "RateLimit-Policy: 10;w=1", "Retry-After: 0"]
    assert lines(ran.out, "no retry") == ["the tries are used up (--attempts)"]
    assert "CANARY" not in ran.out


@pytest.mark.parametrize(
    ("status", "header", "told"),
    [
        (401, "WWW-Authenticate", ["WWW-Authenticate: x"]),
        (404, "WWW-Authenticate", []),
        (405, "Allow", ["Allow: x"]),
        (404, "Allow", []),
    ],
)
def test_some_headers_matter_with_their_status_only(
    status: int, header: str, told: list[str], server: Server, buoy_call: Buoy
) -> None:
    """How to authenticate belongs to a 401, what is allowed to a 405."""
    server.script = [Reply(status, b"", {header: "x"})]
    assert told == lines(buoy_call(f"{server.url}/").out, "header")


def test_a_failure_is_told_with_advice(server: Server, buoy_call: Buoy) -> None:
    """A 404 ends with its type, what it means, whether anything was done, why it was not repeated, and what to do."""
    server.script = [Reply(404)]
    ran = buoy_call(f"{server.url}/items/8")
    assert (ran.code, ran.err) == (1, "")
    assert lines(ran.out, "failed") == ["HttpError after 1 try: HTTP 404, the provider knows no such thing."]
    assert lines(ran.out, "error") == ["type not_found, category not_found: the provider knows no such thing"]
    assert lines(ran.out, "outcome") == ["the provider refused it, nothing was done"]
    assert lines(ran.out, "no retry") == ["this failure does not go away by trying again"]
    assert lines(ran.out, "advice") == ["Check the identifiers and the path of the operation."]
    assert lines(ran.out, "body") == ["not kept, application/json"]


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (b'{"title": "No credit", "detail": "Balance is 3\\u001b[2J"}', ["No credit: Balance is 3?[2J"]),
        (b'{"title": 5}', []),
        (b"[]", []),
    ],
    ids=["told", "not text", "no problem"],
)
def test_what_the_provider_says_is_told(problem: bytes, told: list[str], server: Server, buoy_call: Buoy) -> None:
    """Title and detail of a problem document (RFC 9457) are shown, unable to steer the terminal."""
    server.script = [Reply(422, problem, {"Content-Type": "application/problem+json"})]
    assert told == lines(buoy_call(f"{server.url}/").out, "they say")


def test_a_refused_connection_is_a_failure_of_the_network(buoy_call: Buoy) -> None:
    """Nobody listens: every try is told, and that nothing was sent."""
    ran = buoy_call(f"http://127.0.0.1:{unused_port()}/", "--attempts", "2")
    assert (ran.code, ran.err) == (1, "")
    assert lines(ran.out, "try 1") == ["first, TIME: network_error (refused): the connection failed"]
    assert lines(ran.out, "try 2") == ["retry, TIME: network_error (refused): the connection failed"]
    assert lines(ran.out, "outcome") == ["nothing was sent"]
    assert lines(ran.out, "no retry") == ["the tries are used up (--attempts)"]


def test_a_write_cut_off_is_in_doubt_and_not_repeated(server: Server, buoy_call: Buoy) -> None:
    """A POST that was read and never answered may have happened: it is sent once, and the story says so."""
    server.script = [Reply(cut=True)]
    ran = buoy_call(f"{server.url}/orders", "--data", '{"n": 1}')
    assert (ran.code, ran.err) == (1, "")
    assert len(server.requests) == 1
    assert lines(ran.out, "outcome") == ["unknown, it may have happened"]
    assert lines(ran.out, "no retry") == ["sending it again could do it twice"]
    assert lines(ran.out, "failed")[0].startswith("OutcomeUnknown after 1 try: ")
    assert lines(ran.out, "advice")[0].startswith("Ask the provider whether it happened")


def test_a_silent_resend_is_not_hidden(server: Server, buoy_call: Buoy) -> None:
    """The HTTP library repeats a GET that was cut by itself: that is a line of its own, and a note."""
    server.script = [Reply(cut=True), Reply()]
    ran = buoy_call(f"{server.url}/")
    assert ran.code == 0
    first, second = lines(ran.out, "try 1")
    assert first.startswith("first, TIME: network_error")
    assert second == "resend by the HTTP library, TIME: HTTP 200"
    assert lines(ran.out, "note") == ["the HTTP library sent the request again by itself: it may have run twice"]


def test_an_answer_that_is_not_what_it_says_is_a_failure(server: Server, buoy_call: Buoy) -> None:
    """A body is judged as in any call without a model: JSON that is none fails, and none of it is shown."""
    server.script = [Reply(200, b"CANARY")]
    ran = buoy_call(f"{server.url}/", "--attempts", "1")
    assert ran.code == 1
    assert lines(ran.out, "failed") == ["Undecodable after 1 try: HTTP 200, but the body is not JSON."]
    assert "CANARY" not in ran.out


def test_no_time_is_a_failure_too(server: Server, buoy_call: Buoy) -> None:
    """A server that never answers is left when ``--timeout`` has passed."""
    server.script = [Reply(hold=True)]
    ran = buoy_call(f"{server.url}/", "--timeout", "0.05")
    assert ran.code == 1
    assert lines(ran.out, "error") == ["type timeout, category network: no complete answer came in time"]


def test_a_redirect_is_followed_and_told(server: Server, buoy_call: Buoy) -> None:
    """Each hop is a line with method and origin; the answer is the last one, and the path of a hop is not shown."""
    server.script = [Reply(303, b"", {"Location": "/secret?key=CANARY"}), Reply(200, b"[1]")]
    ran = buoy_call(f"{server.url}/orders", "--data", "{}", "--header", "X-Key: 1")
    assert (ran.code, [f"{request.method} {request.target}" for request in server.requests]) == (
        0,
        ["POST /orders", "GET /secret?key=CANARY"],
    )
    assert lines(ran.out, "try 1") == ["first, TIME: HTTP 303", f"redirect to GET {server.url}, TIME: HTTP 200"]
    assert lines(ran.out, "success") == ["HTTP 200, 1 try"]
    assert lines(ran.out, "note") == []
    assert [request.headers["X-Key"] for request in server.requests] == ["1", "1"]
    assert [word for word in ("CANARY", "secret") if word in ran.out] == []


def test_another_origin_gets_no_header_that_may_be_secret(server: Server, buoy_call: Buoy) -> None:
    """What was given by ``--header`` stays at home but for what is harmless, and a note says so."""
    with serving() as other:
        server.script = [Reply(302, b"", {"Location": f"{other.url}/there"})]
        ran = buoy_call(f"{server.url}/", "--header", "X-Key: CANARY", "--header", "Accept: text/html")
        assert lines(ran.out, "try 1")[1] == f"redirect to GET {other.url}, TIME: HTTP 200"
    (request,) = other.requests
    assert (request.headers["Accept"], "CANARY" in str(request)) == ("text/html", False)
    assert lines(ran.out, "note") == [
        "another origin gets no credentials: of --header only what is harmless, like Accept"
    ]


def test_a_redirect_that_is_not_followed_is_a_failure(server: Server, buoy_call: Buoy) -> None:
    """The story says why, and where it would have led, without the secrets in it."""
    server.script = [Reply(302, b"", {"Location": "https://u:CANARY@h/next?code=CANARY#CANARY"})]
    ran = buoy_call(f"{server.url}/")
    assert (ran.code, len(server.requests)) == (1, 1)
    assert lines(ran.out, "failed") == [
        "HttpError after 1 try: HTTP 302, but the target of the redirect carries user info."
    ]
    assert lines(ran.out, "header") == ["Location: https://h/next?code=REDACTED#REDACTED"]
    assert "CANARY" not in ran.out


@pytest.mark.parametrize(
    "target",
    ["/", "/a%2Fb/%zz/{id}", "//a/../b/./", '/"<>|^`;=,', "/?a+b&c=%20&token&d=", "/p?{x}=[1]&a=b?c/d"],
)
def test_the_url_arrives_as_given(target: str, server: Server, buoy_call: Buoy) -> None:
    """The server reads, character by character, the path and the query that were typed."""
    assert buoy_call(f"{server.url}{target}").code == 0
    assert [target] == [request.target for request in server.requests]


def test_method_headers_and_body_arrive_as_given(server: Server, buoy_call: Buoy) -> None:
    """What was asked for is what is sent; a header given twice is one list, except cookies."""
    options = ["--method", "put", "--data", "a=1", "--header", "Content-Type: application/x-www-form-urlencoded"]
    for header in ("X-A: 1", "x-a:  2 ", "Cookie: a=1", "Cookie: b=2", "X-Empty:"):
        options += ["--header", header]
    assert buoy_call(f"{server.url}/", *options).code == 0
    request = server.requests[0]
    assert (request.method, request.body) == ("PUT", b"a=1")
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert tuple(request.headers[name] for name in ("X-A", "Cookie", "X-Empty")) == ("1, 2", "a=1; b=2", "")


def test_plain_defaults_are_sent(server: Server, buoy_call: Buoy) -> None:
    """Without options: a GET that accepts anything; with a JSON body: a POST that says it is JSON."""
    buoy_call(f"{server.url}/")
    buoy_call(f"{server.url}/", "--data", '{"a": 1}')
    get, post = server.requests
    assert (get.method, get.headers["Accept"], get.headers.get("Content-Type")) == ("GET", "*/*", None)
    assert (post.method, post.headers["Content-Type"], post.body) == ("POST", "application/json", b'{"a": 1}')


def test_a_head_request_has_no_body(server: Server, buoy_call: Buoy) -> None:
    """The answer to HEAD is told as it is, with the type that a GET would have."""
    ran = buoy_call(f"{server.url}/", "--method", "HEAD")
    assert (ran.code, lines(ran.out, "body")) == (0, ["0 bytes, application/json"])


@pytest.mark.parametrize("form", [(), ("--json",), ("--show-body",)], ids=["text", "json", "body"])
@pytest.mark.parametrize("reply", [Reply(), Reply(404), Reply(cut=True)], ids=["success", "failure", "cut"])
def test_secrets_are_sent_and_never_shown(
    form: tuple[str, ...], reply: Reply, server: Server, buoy_call: Buoy, observed: Observed
) -> None:
    """Query values, headers and body reach the server, and neither the output nor a span has any of them."""
    server.script = [reply]
    options = ["--header", "Authorization: Bearer CANARY", "--header", "X-Key: CANARY", "--data", "CANARY"]
    ran = buoy_call(f"{server.url}/secret-path-id?key=CANARY&CANARY", *options, *form)
    request = server.requests[0]
    assert (request.target, request.body) == ("/secret-path-id?key=CANARY&CANARY", b"CANARY")
    assert (request.headers["Authorization"], request.headers["X-Key"]) == ("Bearer CANARY", "CANARY")
    assert "CANARY" not in ran.out + ran.err
    assert "?key=REDACTED&REDACTED" in ran.out + ran.err
    spans = "".join(span.to_json() for span in observed.spans())
    assert "CANARY" not in spans
    assert "secret-path-id" not in spans
    assert f"{server.url}/{{path}}?key=REDACTED&REDACTED" in spans


def test_the_query_is_shown_on_request(server: Server, buoy_call: Buoy) -> None:
    """``--show-query`` shows the query of the URL, and of the target of a redirect that is not followed."""
    server.script = [Reply(302, b"", {"Location": "ftp://h/next?code=1"})]
    ran = buoy_call(f"{server.url}/p?key=2", "--show-query")
    assert f"GET {server.url}/p?key=2" == ran.out.splitlines()[0]
    assert lines(ran.out, "header") == ["Location: ftp://h/next?code=1"]


def test_the_call_is_instrumented(server: Server, buoy_call: Buoy, observed: Observed) -> None:
    """The trace id that is told is that of the exported spans, and the server was told of it too."""
    server.script = [UNAVAILABLE]
    ran = buoy_call(f"{server.url}/")
    (trace,) = lines(ran.out, "trace")
    attempts = observed.attempts()
    assert [span.name for span in attempts] == ["GET /{path}", "GET /{path}"]
    assert [f"{span.context.trace_id:032x}" for span in (*observed.calls(), *attempts)] == [trace] * 3
    spans = [f"00-{trace}-{span.context.span_id:016x}" for span in attempts]
    assert spans == [request.headers["traceparent"].rpartition("-")[0] for request in server.requests]
    assert observed.value("buoy.client.calls", result="success") == 1


def test_the_body_is_shown_on_request(server: Server, buoy_call: Buoy) -> None:
    """``--show-body`` gives standard output to the body alone; the story goes to standard error."""
    ran = buoy_call(f"{server.url}/", "--show-body")
    assert (ran.code, ran.out) == (0, '{"a":1}')
    assert lines(ran.err, "success") == ["HTTP 200, 1 try"]


def test_json_has_the_same_facts(server: Server, buoy_call: Buoy) -> None:
    """``--json`` is one object: the steps in order, the answer, the times; nothing is an error on a success."""
    server.script = [Reply(503, b"", {"X-Request-Id": "req-1"}), Reply(200, b"[1]", {**JSON, "RateLimit": "r=1"})]
    ran = buoy_call(f"{server.url}/p?a=1", "--json")
    assert ran.code == 0
    story = ran.story
    first, wait, second = story["steps"]
    assert story == {
        "result": "success",
        "method": "GET",
        "url": f"{server.url}/p?a=REDACTED",
        "attempts": 2,
        "sends": 2,
        "steps": [first, wait, second],
        "answer": {
            "status": 200,
            "content_type": "application/json",
            "bytes": 3,
            "headers": {"RateLimit": "r=1"},
        },
        "error": None,
        "time": story["time"],
        "duplicate": False,
        "request_id": story["request_id"],
        "trace_id": None,
    }
    unavailable = {
        "type": "service_unavailable",
        "category": "server_error",
        "reason": None,
        "outcome": "unknown",
        "phase": "receive",
        "retry_after": None,
        "meaning": "the provider is not available now",
    }
    assert first == {
        "step": "send",
        "number": 1,
        "kind": "first",
        "method": "GET",
        "origin": server.url,
        "seconds": first["seconds"],
        "status": 503,
        "http_version": "1.1",
        "provider_request_id": "req-1",
        "error": unavailable,
    }
    assert wait == {
        "step": "wait",
        "cause": "backoff",
        "seconds": wait["seconds"],
        "chosen_by": "backoff",
        "after": "service_unavailable",
    }
    assert tuple(second[key] for key in ("number", "kind", "status", "error")) == (2, "retry", 200, None)


def test_the_times_add_up(server: Server, buoy_call: Buoy) -> None:
    """Sends and waits are the sums of their steps, and with our own they are the whole."""
    server.script = [UNAVAILABLE]
    story = buoy_call(f"{server.url}/", "--json").story
    time, steps = story["time"], story["steps"]
    for phase, kind in (("sends", "send"), ("waits", "wait")):
        assert pytest.approx(time[phase]) == sum(step["seconds"] for step in steps if step["step"] == kind)
    assert pytest.approx(time["total"]) == time["sends"] + time["waits"] + time["own"]
    assert time["sends"] > 0
    assert time["own"] > 0


def test_json_tells_a_failure(server: Server, buoy_call: Buoy) -> None:
    """A failed call has its error as the SDK raises it, and the answer it came with."""
    server.script = [Reply(429, b"", {"Retry-After": "7"})]
    ran = buoy_call(f"{server.url}/", "--json", "--attempts", "1")
    assert ran.code == 1
    assert ran.story["error"] == {
        "type": "rate_limited",
        "category": "rate_limiting",
        "reason": None,
        "outcome": "rejected",
        "phase": "receive",
        "retry_after": 7.0,
        "meaning": "the provider's rate limit is reached",
        "exception": "HttpError",
        "message": "HTTP 429, the provider's rate limit is reached; retry after 7 s.",
        "stop_reason": "max_attempts",
        "says": None,
        "advice": "Lower the request rate, batch or cache; come back after retry_after seconds.",
    }
    assert ran.story["answer"] == {
        "status": 429,
        "content_type": None,
        "bytes": None,
        "headers": {"Retry-After": "7"},
    }


def test_a_repeated_header_is_one_list(server: Server, buoy_call: Buoy) -> None:
    """Two headers of one name are shown together, as RFC 9110 section 5.3 reads them."""
    server.script = [Reply(200, b"", {"RateLimit": "a"}, more=(("RateLimit", "b"),))]
    assert buoy_call(f"{server.url}/", "--json").story["answer"]["headers"] == {"RateLimit": "a, b"}
