"""The run in which all sides tell the truth: every kind of call that the demo knows, and everything a policy can do."""

from dataclasses import replace

from tests.unit.support.calls import Ending, Send
from tests.unit.support.protobuf import Key, key
from tests.unit.support.synthetic import PROVIDER, SECOND, Run

PRODUCT, LIST, ORDER = "GET /products/{id}", "GET /products", "POST /orders"
MOVE, LOOP, AWAY, CHECKOUT = "GET /moves/{id}", "GET /loops/{id}", "GET /away/{id}", "POST /checkouts"
FEED, REPORT, UPLOAD = "GET /feeds/{id}", "GET /reports/{id}", "PUT /reports/{id}"
STOCK, CART, OFFERS, REVIEWS = "PUT /stock/{id}", "DELETE /carts/{id}", "GET /offers", "GET /products/{id}/reviews"

FINE = Send(status=200)
AGAIN = Send(kind="retry", number=2, status=200)
BUSY = Send(status=503, error="service_unavailable", phase="receive", outcome="unknown", fault="503")
RESET = Send(error="network_error", phase="receive", outcome="unknown", fault="reset-after-read", sent="nothing")
NOBODY = Send(error="network_error", phase="connect", outcome="not_sent", read=False)
THROTTLED = Send(
    status=429, error="rate_limited", phase="receive", outcome="rejected", fault="429-retry-after", retry_after=1
)
TRANSITIONS = (
    ("open", "failure_rate"),
    ("half_open", "wait_elapsed"),
    ("open", "probe_failed"),
    ("half_open", "wait_elapsed"),
    ("closed", "probe_succeeded"),
)
STATES = ("closed", "open", "half_open", "forced_open", "disabled", "metrics_only")


def truthful() -> Run:
    """Return the run."""
    run = Run()
    run.note("listening", port=1)
    run.note("reset_unread")
    _faults(run)
    _policies(run)
    _outage(run)
    _elsewhere(run)
    _bodies(run)
    run.note("closed", reason="stop", since=run.now, unread=1, in_flight=0)
    run.gauges = [_gauges(shop) for shop in ("open", "closed", "closed", "")]
    run.earlier = run.halfway()
    for state, cause in TRANSITIONS:
        run.earlier[0][run.transition("shop", state, cause)] = int(cause == "failure_rate")
    return run


def _gauges(shop: str) -> dict[Key, int]:
    """Return all gauges of an export with the shop's breaker in this state; "" when the provider was left."""
    watching = status("shop.reviews", "metrics_only" if shop else "")
    return {**status("shop", shop), **watching, **_levels(gone=not shop)}


def status(breaker: str, present: str) -> dict[Key, int]:
    """Return the gauges of a breaker in this state."""
    name = {**PROVIDER, "buoy.breaker.name": breaker}
    return {key("buoy.breaker.status", {**name, "buoy.breaker.state": each}): int(each == present) for each in STATES}


def _faults(run: Run) -> None:
    """Add what a provider can do to a call."""
    run.call("products.get", PRODUCT, FINE)
    run.call("products.get", PRODUCT, BUSY, replace(AGAIN, reason="server_error"))
    run.call("products.get", PRODUCT, RESET, Send(kind="resend", status=200))
    doubt = Ending(stop="not_idempotent", in_doubt=True)
    run.call("orders.create", ORDER, RESET, safety="unsafe", error="network_error", end=doubt)
    keyed = (replace(BUSY, key=1), replace(AGAIN, reason="server_error", key=1))
    run.call("orders.keyed", ORDER, *keyed, safety="keyed")
    run.note("reset_unread")
    lost = (replace(RESET, read=False), replace(AGAIN, reason="network"))
    run.call("carts.drop", CART, *lost, safety="idempotent")
    truncated = replace(RESET, fault="truncated", sent="part")
    run.call("products.list", LIST, truncated, replace(AGAIN, reason="network"))
    late = replace(RESET, error="timeout", fault="stall", left=True)
    run.call("products.get", PRODUCT, late, replace(AGAIN, reason="network"))
    missing = Send(status=404, error="not_found", phase="receive", outcome="rejected", fault="404")
    run.call("products.get", PRODUCT, missing, error="not_found", end=Ending(stop="not_retryable"))
    gone = Send(error="cancelled", fault="stall", sent="nothing", left=True)
    run.call("products.get", PRODUCT, gone, error="cancelled")


def _policies(run: Run) -> None:
    """Add what policies can do with a call."""
    late = Ending(stop="deadline", refused="deadline_exceeded")
    run.call("products.get", PRODUCT, error="deadline_exceeded", end=late)
    run.call("products.get", PRODUCT, FINE, end=Ending(waits={"rate_limit": 0.02, "concurrency": 0.03}))
    full = Ending(stop="refused", refused="concurrency_limited", waits={"concurrency": 0.2})
    run.call("stock.set", STOCK, safety="idempotent", error="concurrency_limited", end=full)
    limited = Ending(stop="refused", refused="rate_limited_locally", fallback="function")
    run.call("products.list", LIST, error="rate_limited_locally", end=limited)
    run.call("products.list", LIST, THROTTLED, replace(AGAIN, reason="rate_limiting", backoff=1.0))
    first = run.call("products.get", PRODUCT, FINE)
    run.call("products.get", PRODUCT, end=Ending(joins=first))
    watched = (replace(BUSY, breaker="metrics_only"), replace(AGAIN, reason="server_error", breaker="metrics_only"))
    run.call("reviews.list", REVIEWS, *watched, end=Ending(shadow="shop.reviews"))


def _outage(run: Run) -> None:
    """Add an outage that opens the breaker, twice, and the probes that close it."""
    run.note("closed", reason="restart", since=run.now, unread=0, in_flight=0)
    tries = (NOBODY, replace(NOBODY, kind="retry", number=2, reason="network"))
    run.call("stock.set", STOCK, *tries, safety="idempotent", error="network_error", end=Ending(stop="max_attempts"))
    given_up = Ending(stop="refused", refused="breaker_open", retry_after=0.5, given_up=0.01)
    run.call("carts.drop", CART, NOBODY, safety="idempotent", error="network_error", end=given_up)
    refused = Ending(stop="refused", refused="breaker_open", retry_after=0.4)
    first = run.call("products.get", PRODUCT, error="breaker_open", end=refused)
    run.call("products.get", PRODUCT, error="breaker_open", end=replace(refused, joins=first))
    static = replace(refused, fallback="static", retry_after=None)
    run.call("offers.list", OFFERS, error="breaker_open", end=static)
    run.now += SECOND
    probe = replace(NOBODY, breaker="half_open")
    masked = Ending(stop="max_attempts", fallback="static")
    run.call("offers.list", OFFERS, probe, error="network_error", end=masked)
    run.note("listening", port=1)
    run.call("stock.set", STOCK, replace(FINE, breaker="half_open"), safety="idempotent")
    asked = replace(BUSY, fault="503-retry-after", retry_after=1, outcome="rejected")
    shown = Ending(stop="retry_after", fallback="function")
    run.call("products.list", LIST, asked, error="service_unavailable", end=shown)
    for state, cause in TRANSITIONS:
        run.sums[run.transition("shop", state, cause)] += 1


def _elsewhere(run: Run) -> None:
    """Add what a provider does by leading elsewhere."""
    to = Send(kind="redirect", status=200)
    run.call("moves.get", MOVE, replace(FINE, status=302), replace(to, status=308), to)
    again = Send(kind="resend", status=200)
    lost = replace(RESET, kind="redirect", read=False)
    run.call("moves.get", MOVE, replace(FINE, status=303), lost, again)
    at = replace(to, site="depot")
    run.call("away.get", AWAY, replace(FINE, status=307), at)
    run.call("away.get", AWAY, replace(FINE, status=307), replace(at, status=302), to)
    led = replace(to, status=302)
    refused = replace(led, error="server_error", phase="receive", outcome="unknown", why="redirect_refused")
    round_and_round = (replace(FINE, status=302), led, led, led, led, refused)
    run.call("loops.get", LOOP, *round_and_round, error="server_error", end=Ending(stop="not_retryable"))
    asked = (replace(FINE, status=303, key=7), replace(to, key=7, method="GET"))
    run.call("checkouts.create", CHECKOUT, *asked, safety="keyed")
    gone = replace(to, status=None, error="cancelled", fault="stall", sent="nothing", left=True)
    run.call("moves.get", MOVE, replace(FINE, status=301), gone, error="cancelled")


def _bodies(run: Run) -> None:
    """Add what can happen to a body, streamed or not."""
    run.call("feeds.read", FEED, replace(FINE, items=3), end=Ending(items=3))
    dropped = replace(FINE, items=4, sent="part", left=True)
    run.call("feeds.read", FEED, dropped, end=Ending(items=2, early=True))
    broken = replace(RESET, status=200, fault="chunk-broken", sent="part", items=2)
    run.call("feeds.read", FEED, broken, error="network_error", end=Ending(stop="not_retryable", items=2))
    gone = replace(dropped, status=200, error="cancelled", items=2)
    run.call("feeds.read", FEED, gone, error="cancelled", end=Ending(items=1))
    run.call("reports.get", REPORT, replace(FINE, size=99), end=Ending(size=99))
    cut = replace(RESET, status=200, fault="gzip-cut", sent="part", size=99)
    run.call("reports.get", REPORT, cut, replace(AGAIN, reason="network", size=99), end=Ending(size=99))
    once = Ending(stop="not_replayable", once=True)
    run.call("reports.set", UPLOAD, RESET, safety="idempotent", error="network_error", end=once)
    status = replace(BUSY, sent="part", fault="503-truncated")
    run.call("reports.get", REPORT, status, error="service_unavailable", end=Ending(stop="max_attempts"))


def _levels(*, gone: bool) -> dict[Key, int]:
    """Return what is taken and what there is, of permits, turns, quota and retries."""
    server = {**PROVIDER, "buoy.rate_limiter.source": "server"}
    levels = {
        key("buoy.client.call.active", PROVIDER): 0 if gone else 1,
        key("buoy.concurrency.usage", PROVIDER): 0 if gone else 1,
        key("buoy.concurrency.limit", PROVIDER): 0 if gone else 1,
        key("buoy.concurrency.waiting", PROVIDER): 0,
        key("buoy.rate_limiter.waiting", PROVIDER): 0,
        key("buoy.rate_limiter.quota.limit", server): 0 if gone else 100,
    }
    if gone:
        return levels
    quota, budget = key("buoy.rate_limiter.quota.remaining", server), key("buoy.retry.budget.remaining", PROVIDER)
    return {**levels, quota: 90, budget: 10}
