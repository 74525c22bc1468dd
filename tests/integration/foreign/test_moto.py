"""Writes and errors at moto, a server that is not ours: it speaks as AWS does."""

from collections.abc import Iterator
from typing import Any

import pytest

import buoy
from buoy.outcome import Outcome
from tests.support.servers import running
from tests.support.telemetry import Observed

# Moto checks no signature, only that there is one; the service is read from it.
SIGNATURE = "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=none"
AWS_JSON = "application/x-amz-json-1.0"


class S3(buoy.Provider):
    """Objects by plain HTTP."""

    retry = buoy.Retry(base=0)

    make = buoy.put("/{bucket}")
    drop = buoy.delete("/{bucket}")
    store = buoy.put("/{bucket}/{key}")
    load = buoy.get("/{bucket}/{key}")
    remove = buoy.delete("/{bucket}/{key}")


class Dynamo(buoy.Provider):
    """A table by POST alone: what is asked is in a header."""

    retry = buoy.Retry(base=0)

    ask = buoy.post("/", safety="safe")
    tell = buoy.post("/")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start moto's server."""
    log = tmp_path_factory.mktemp("moto") / "log"
    with running(lambda port: ["-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)], log) as address:
        yield address


def s3(url: str) -> S3:
    """Return the object store."""
    return S3(base_url=url, headers={"Authorization": SIGNATURE.format("s3")})


def dynamo(url: str) -> Dynamo:
    """Return the table store."""
    return Dynamo(base_url=url, headers={"Authorization": SIGNATURE.format("dynamodb"), "Content-Type": AWS_JSON})


def action(name: str, **fields: Any) -> dict[str, Any]:
    """Return the arguments that ask DynamoDB for one action."""
    return {"headers": {"X-Amz-Target": f"DynamoDB_20120810.{name}", "Content-Type": AWS_JSON}, "json": fields}


@pytest.mark.parametrize(
    ("key", "body"),
    [("plain", b"hello"), ("a b/ü?#%", bytes(range(256))), ("large", b"x" * 3_000_000), ("empty", b"")],
    ids=["plain", "awkward", "large", "empty"],
)
async def test_an_object_goes_there_and_back(url: str, key: str, body: bytes, observed: Observed) -> None:
    """PUT, GET and DELETE of an object: the body is the same, whatever its key and size."""
    async with s3(url) as store:
        await store.make(bucket="there-and-back")
        stored = await store.store.call(bucket="there-and-back", key=key, data=body)
        loaded = await store.load.call(bucket="there-and-back", key=key)
        removed = await store.remove.call(bucket="there-and-back", key=key)
        with pytest.raises(buoy.HttpError) as caught:
            await store.load(bucket="there-and-back", key=key)
    assert [stored.status, loaded.status, removed.status, caught.value.status] == [200, 200, 204, 404]
    assert stored.headers["ETag"] == loaded.headers["ETag"]
    assert (body or None) == loaded.value
    assert len(observed.attempts()) == 5


async def test_errors_of_the_store_are_told_apart(url: str, observed: Observed) -> None:
    """Missing things are ``not_found``, a bucket in use is a ``conflict``: none is retried, all are the caller's."""
    async with s3(url) as store:
        await store.make(bucket="told-apart")
        await store.store(bucket="told-apart", key="one", data=b"1")
        found = []
        for attempt in (
            store.load(bucket="told-apart", key="none"),
            store.load(bucket="no-such-bucket", key="one"),
            store.drop(bucket="told-apart"),
        ):
            with pytest.raises(buoy.HttpError) as caught:
                await attempt
            found.append((caught.value.status, str(caught.value.error_type), caught.value.outcome))
    expected = [
        (404, "not_found", Outcome.REJECTED),
        (404, "not_found", Outcome.REJECTED),
        (409, "conflict", Outcome.REJECTED),
    ]
    assert expected == found
    assert len(observed.attempts()) == 5
    assert observed.value("buoy.client.calls", result="caller_error") == 3


async def test_credentials_that_do_not_allow_it_are_forbidden(url: str) -> None:
    """Without a signature the store refuses to hand out an object."""
    async with s3(url) as store, buoy.Provider("anonymous", base_url=url) as anonymous:
        await store.make(bucket="closed")
        await store.store(bucket="closed", key="one", data=b"1")
        with pytest.raises(buoy.HttpError) as caught:
            await anonymous.get("/{bucket}/{key}", bucket="closed", key="one")
    assert (caught.value.status, caught.value.error_type) == (403, buoy.ErrorType.FORBIDDEN)


async def test_the_stores_request_id_is_on_the_span(url: str, observed: Observed) -> None:
    """The provider's own id of the request is what its support asks for."""
    async with s3(url) as store:
        result = await store.make.call(bucket="with-an-id")
    (send,) = observed.attempts()
    assert result.headers["x-amzn-requestid"] == (send.attributes or {})["buoy.provider_request_id"]


async def test_an_item_goes_there_and_back(url: str) -> None:
    """Writes by POST arrive once, and what was written is read."""
    key = [{"AttributeName": "id", "KeyType": "HASH"}]
    item = {"id": {"S": "7"}, "name": {"S": "grün"}}
    async with dynamo(url) as table:
        await table.tell(
            **action(
                "CreateTable",
                TableName="items",
                KeySchema=key,
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        )
        await table.tell(**action("PutItem", TableName="items", Item=item))
        # AWS says application/x-amz-json-1.0, which is no +json: without a model it stays bytes.
        loaded = await table.ask(**action("GetItem", TableName="items", Key={"id": {"S": "7"}}))
        typed = await table.post("/", dict[str, Any], **action("GetItem", TableName="items", Key={"id": {"S": "7"}}))
    assert isinstance(loaded, bytes)
    assert {"Item": item} == typed


async def test_a_bad_action_is_a_bad_request_sent_once(url: str, observed: Observed) -> None:
    """AWS answers 400 to what it cannot find: also a read is not repeated, and the body is in no text."""
    async with dynamo(url) as table:
        with pytest.raises(buoy.HttpError) as caught:
            await table.ask(**action("DescribeTable", TableName="canary"))
    error = caught.value
    assert (error.status, error.error_type) == (400, buoy.ErrorType.BAD_REQUEST)
    assert error.headers["x-amzn-errortype"] == "ResourceNotFoundException"
    assert "canary" not in str(error)
    assert len(observed.attempts()) == 1
