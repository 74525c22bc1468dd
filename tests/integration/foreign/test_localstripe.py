"""localstripe, a server that is not ours: it speaks as Stripe does, in forms, and keeps what it is told."""

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel

import buoy
from buoy.outcome import Outcome
from tests.support.telemetry import Observed

E = buoy.ErrorType
KEY = "sk_test_canary"

CARD = {"exp_month": "12", "exp_year": "2035", "cvc": "123"}
DECLINED = "4000000000000341"
GOOD = "4242424242424242"


class Customer(BaseModel):
    """A customer, as far as it matters here."""

    id: str
    email: str | None
    description: str | None = None
    metadata: dict[str, str] = {}


class Stripe(buoy.Provider):
    """Stripe's API as its documentation has it."""

    rules = buoy.rules.stripe
    retry = buoy.Retry(base=0, budget=None)
    breaker = None

    add_customer = buoy.post("/v1/customers", Customer, key_header="Idempotency-Key")
    customer = buoy.get("/v1/customers/{id}", Customer)
    change_customer = buoy.post("/v1/customers/{id}", Customer)
    remove_customer = buoy.delete("/v1/customers/{id}")
    add_payment_method = buoy.post("/v1/payment_methods")
    charge = buoy.post("/v1/charges", key_header="Idempotency-Key")
    charges = buoy.get("/v1/charges")
    add_plan = buoy.post("/v1/plans")
    remove_balance = buoy.delete("/v1/balance_transactions/{id}")


def account(url: str, **options: Any) -> Stripe:
    """Return the API with a key as its user and no password."""
    return Stripe(base_url=url, **{"auth": buoy.Basic(KEY, ""), **options})


def form(name: str, fields: Mapping[str, str]) -> dict[str, str]:
    """Return an object as Stripe's forms write it."""
    return {f"{name}[{key}]": value for key, value in fields.items()}


@pytest.mark.parametrize("auth", [buoy.Basic(KEY, ""), buoy.Bearer(KEY)], ids=["basic", "bearer"])
async def test_a_customer_is_made_read_changed_and_removed(
    stripe: str, auth: buoy.Basic | buoy.Bearer, observed: Observed
) -> None:
    """Forms with every awkward character arrive as they were meant, with the key in either header."""
    async with account(stripe, auth=auth) as api:
        fields = {"email": "a+b@shop.example", "description": "grün & 100 % = ?"}
        made = await api.add_customer(data={**fields, **form("metadata", {"order": "7/ü"})})
        assert made == Customer(id=made.id, **fields, metadata={"order": "7/ü"})
        changed = await api.change_customer(id=made.id, data={"description": "new"})
        assert (await api.customer(id=made.id), changed.description) == (changed, "new")
        assert (await api.remove_customer(id=made.id))["deleted"] is True
        with pytest.raises(buoy.HttpError) as caught:
            await api.customer(id=made.id)
    error = caught.value
    assert (error.status, error.error_type, error.code) == (404, E.NOT_FOUND, "invalid_request_error")
    assert len(observed.attempts()) == 5


async def test_without_a_key_it_is_unauthorized(stripe: str, observed: Observed) -> None:
    """401 is not tried again, and says nothing of a key."""
    async with Stripe(base_url=stripe) as api:
        with pytest.raises(buoy.HttpError) as caught:
            await api.charges()
    error = caught.value
    assert (error.status, error.error_type, error.outcome) == (401, E.UNAUTHORIZED, Outcome.REJECTED)
    assert len(observed.attempts()) == 1


async def test_a_declined_card_is_final(stripe: str, observed: Observed) -> None:
    """402 with Stripe's code: it did not happen and will not by repeating it, also where a key would allow that."""
    async with account(stripe) as api:
        cards = [
            await api.add_payment_method(data={"type": "card", **form("card", {"number": number, **CARD})})
            for number in (GOOD, DECLINED)
        ]
        paid, declined = ({"amount": "100", "currency": "eur", "source": card["id"]} for card in cards)
        charge = await api.charge(data=paid, idempotency_key="order-1")
        observed.clear()
        with pytest.raises(buoy.HttpError) as caught:
            await api.charge(data=declined, idempotency_key="order-2")
    error = caught.value
    assert charge["paid"] is True
    assert (error.status, error.error_type, error.outcome) == (402, E.CLIENT_ERROR, Outcome.REJECTED)
    assert error.code == "card_declined"
    assert len(observed.attempts()) == 1


async def test_what_it_does_not_understand_is_a_bad_request(stripe: str) -> None:
    """An unknown field is 400; its name, which Stripe puts into the message, is in no text of ours."""
    async with account(stripe) as api:
        with pytest.raises(buoy.HttpError) as caught:
            await api.add_customer(data={"canary": "1"})
    error = caught.value
    assert (error.status, error.error_type, error.code) == (400, E.BAD_REQUEST, "invalid_request_error")
    assert "canary" not in f"{error} {error!r}"


async def test_what_is_taken_is_a_conflict(stripe: str) -> None:
    """409 to a write without a key is raised at once: it did not happen."""
    plan = {"id": "gold", "amount": "1", "currency": "eur", "interval": "month", **form("product", {"name": "gold"})}
    async with account(stripe) as api:
        await api.add_plan(data=plan)
        with pytest.raises(buoy.HttpError) as caught:
            await api.add_plan(data=plan)
    error = caught.value
    assert (error.status, error.error_type, error.outcome) == (409, E.CONFLICT, Outcome.REJECTED)
    assert error.meta is not None
    assert error.meta.attempts == 1


async def test_what_cannot_be_done_to_it_is_told_apart(stripe: str) -> None:
    """A method that an object does not have is 405, a path that nobody has is 404 without Stripe's words."""
    async with account(stripe) as api:
        found = []
        for attempt in (api.remove_balance(id="txn_1"), api.get("/v1/{what}", what="nothing")):
            with pytest.raises(buoy.HttpError) as caught:
                await attempt
            found.append((caught.value.status, caught.value.error_type, caught.value.code))
    assert found == [(405, E.METHOD_NOT_ALLOWED, "invalid_request_error"), (404, E.NOT_FOUND, None)]


async def test_its_own_failure_is_tried_again(stripe: str) -> None:
    """A 500 in Stripe's form and one of the framework below it: a read is tried three times."""

    async def unreadable(outgoing: buoy.Outgoing) -> None:
        """Sign in a way that localstripe falls over."""
        outgoing.headers["Authorization"] = "Digest canary"

    failures = []
    for auth in (buoy.Basic(KEY, ""), unreadable):
        async with account(stripe, auth=auth) as api:
            with pytest.raises(buoy.HttpError) as caught:
                await api.charges(params={"created[lt]": "1600000000"})
            error = caught.value
            assert error.meta is not None
            failures.append((error.status, error.error_type, error.code, error.meta.attempts))
    failed = E.INTERNAL_SERVER_ERROR
    assert failures == [(500, failed, "invalid_request_error", 3), (500, failed, None, 3)]


async def test_a_key_is_only_as_good_as_who_honours_it(stripe: str) -> None:
    """The key is sent and does no harm; localstripe ignores it, so the same key twice makes two customers."""
    async with account(stripe) as api:
        first = await api.add_customer.call(data={"email": "a@shop.example"}, idempotency_key="order-1")
        second = await api.add_customer.call(data={"email": "a@shop.example"}, idempotency_key="order-1")
    assert first.value.id != second.value.id
    assert [result.meta.duplicate for result in (first, second)] == [False, False]


async def test_the_key_of_the_account_is_in_no_telemetry(stripe: str, observed: Observed) -> None:
    """Neither spans nor metrics nor the error have the key, or what Basic makes of it."""
    auth = buoy.Basic(KEY, "")
    async with account(stripe, auth=auth) as api:
        with pytest.raises(buoy.HttpError) as caught:
            await api.customer(id="cus_none")
    told = f"{[span.to_json() for span in observed.spans()]} {observed.collected()} {caught.value!r} {api!r}"
    assert "canary" not in told
    assert auth.headers()["Authorization"].split()[1] not in told
