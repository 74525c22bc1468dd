"""Writes and errors at moto, a server that is not ours: it speaks as AWS does."""

from typing import Any

import pytest

import buoy
from buoy.outcome import Outcome
from tests.support.telemetry import Observed

# Moto checks no signature, only that there is one; the service is read from it.
SIGNATURE = "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=none"
AWS_JSON = "application/x-amz-json-1.0"


class S3(buoy.Provider):
    """Objects by plain HTTP."""

    rules = buoy.rules.aws
    retry = buoy.Retry(base=0)

    make = buoy.put("/{bucket}")
    drop = buoy.delete("/{bucket}")
    store = buoy.put("/{bucket}/{key}")
    load = buoy.get("/{bucket}/{key}")
    remove = buoy.delete("/{bucket}/{key}")


class Dynamo(buoy.Provider):
    """A table by POST alone: what is asked is in a header."""

    rules = buoy.rules.aws
    retry = buoy.Retry(base=0)

    ask = buoy.post("/", safety="safe")
    tell = buoy.post("/")


@pytest.fixture(scope="module")
def url(moto: str) -> str:
    """Return where moto is."""
    return moto


def s3(url: str) -> S3:
    """Return the object store."""
    return S3(base_url=url, headers={"Authorization": SIGNATURE.format("s3")})


def dynamo(url: str, service: str = "dynamodb", **options: Any) -> Dynamo:
    """Return the table store, or another service that speaks as it does."""
    headers = {"Authorization": SIGNATURE.format(service), "Content-Type": AWS_JSON}
    return Dynamo(base_url=url, headers=headers, **options)


def sqs(url: str) -> buoy.Provider:
    """Return the queues, which answer a form in XML."""
    headers = {"Authorization": SIGNATURE.format("sqs")}
    return buoy.Provider("sqs", base_url=url, headers=headers, rules=buoy.rules.aws)


def action(name: str, **fields: Any) -> dict[str, Any]:
    """Return the arguments that ask DynamoDB for one action."""
    return {"headers": {"X-Amz-Target": f"DynamoDB_20120810.{name}", "Content-Type": AWS_JSON}, "json": fields}


def new_table(name: str) -> dict[str, Any]:
    """Return the arguments that make a table with one key."""
    return action(
        "CreateTable",
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


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
    item = {"id": {"S": "7"}, "name": {"S": "grün"}}
    async with dynamo(url) as table:
        await table.tell(**new_table("items"))
        await table.tell(**action("PutItem", TableName="items", Item=item))
        # AWS says application/x-amz-json-1.0, which is no +json: without a model it stays bytes.
        loaded = await table.ask(**action("GetItem", TableName="items", Key={"id": {"S": "7"}}))
        typed = await table.post("/", dict[str, Any], **action("GetItem", TableName="items", Key={"id": {"S": "7"}}))
    assert isinstance(loaded, bytes)
    assert {"Item": item} == typed


@pytest.mark.parametrize(
    ("rules", "error_type", "code"),
    [((), buoy.ErrorType.BAD_REQUEST, None), (buoy.rules.aws, buoy.ErrorType.NOT_FOUND, "ResourceNotFoundException")],
    ids=["by its status", "by AWS's word"],
)
async def test_a_400_is_what_aws_means_by_it(
    url: str, rules: buoy.rules.Rule | tuple[()], error_type: buoy.ErrorType, code: str | None, observed: Observed
) -> None:
    """AWS answers 400 to what it cannot find; with its rules that is ``not_found``. Sent once, no body in the text."""
    async with dynamo(url, rules=rules) as table:
        with pytest.raises(buoy.HttpError) as caught:
            await table.ask(**action("DescribeTable", TableName="canary"))
    error = caught.value
    assert (error.status, error.error_type, error.code) == (400, error_type, code)
    assert error.headers["x-amzn-errortype"] == "ResourceNotFoundException"
    assert "canary" not in str(error)
    assert len(observed.attempts()) == 1


async def test_a_condition_that_fails_is_a_conflict(url: str, observed: Observed) -> None:
    """A 400 again: the item is there, and neither a write nor a transaction is tried again for that."""
    put = {"TableName": "conditions", "Item": {"id": {"S": "7"}}, "ConditionExpression": "attribute_not_exists(id)"}
    async with dynamo(url) as table:
        await table.tell(**new_table("conditions"))
        await table.tell(**action("PutItem", **put))
        observed.clear()
        found = []
        for attempt in (
            table.tell(**action("PutItem", **put)),
            table.tell(**action("PutItem", TableName="conditions", Item={"other": {"S": "7"}})),
            table.tell(**new_table("conditions")),
            table.tell(**action("TransactWriteItems", TransactItems=[{"Put": put}])),
        ):
            with pytest.raises(buoy.HttpError) as caught:
                await attempt
            error = caught.value
            found.append((error.status, str(error.error_type), error.reason, error.code, error.outcome))
    expected = [
        (400, "conflict", "precondition", "ConditionalCheckFailedException", Outcome.REJECTED),
        (400, "bad_request", "validation", "ValidationException", Outcome.REJECTED),
        (400, "bad_request", None, "ResourceInUseException", Outcome.REJECTED),
        (400, "bad_request", None, "TransactionCanceledException", Outcome.REJECTED),
    ]
    assert expected == found
    assert len(observed.attempts()) == 4


async def test_throttling_in_a_400_is_a_rate_limit(url: str) -> None:
    """LimitExceededException, all that moto says of AWS's throttling: it did not happen, and is tried again."""
    request: dict[str, Any] = {
        "headers": {
            "X-Amz-Target": "CertificateManager.RequestCertificate",
            "Content-Type": "application/x-amz-json-1.1",
        },
        "json": {
            "DomainName": "shop.example",
            "SubjectAlternativeNames": [f"{number}.shop.example" for number in range(11)],
        },
    }
    retry = buoy.Retry(throttled_base=0)
    async with dynamo(url, "acm", name="acm", retry=retry) as certificates:
        with pytest.raises(buoy.HttpError) as caught:
            await certificates.tell(**request)
    error = caught.value
    assert (error.status, error.error_type, error.outcome) == (400, buoy.ErrorType.RATE_LIMITED, Outcome.REJECTED)
    assert (error.reason, error.code) == ("rate_limit", "LimitExceededException")
    assert error.meta is not None
    assert error.meta.attempts == 3


async def test_errors_in_xml_have_their_code(url: str) -> None:
    """S3 and SQS say in XML what it was; for SQS a 400 is also what is not there."""
    async with s3(url) as store, sqs(url) as queues:
        await store.make(bucket="in-xml")
        await store.store(bucket="in-xml", key="one", data=b"1")
        found = []
        for attempt in (
            store.load(bucket="no-such-bucket", key="one"),
            store.load(bucket="in-xml", key="none"),
            store.drop(bucket="in-xml"),
            store.make(bucket="X"),
            queues.post("/", data={"Action": "GetQueueUrl", "QueueName": "none"}),
            queues.post("/", data={"Action": "CreateQueue", "QueueName": "not a name"}),
        ):
            with pytest.raises(buoy.HttpError) as caught:
                await attempt
            error = caught.value
            found.append((error.status, str(error.error_type), error.code))
    expected = [
        (404, "not_found", "NoSuchBucket"),
        (404, "not_found", "NoSuchKey"),
        (409, "conflict", "BucketNotEmpty"),
        (400, "bad_request", "InvalidBucketName"),
        (400, "not_found", "AWS.SimpleQueueService.NonExistentQueue"),
        (400, "bad_request", "InvalidParameterValue"),
    ]
    assert expected == found


async def test_a_key_that_nobody_knows_is_unauthorized(url: str) -> None:
    """AWS answers 403 to credentials that are none; with its rules they are wrong, not merely not allowed."""
    async with s3(url) as store, buoy.Provider("switch", base_url=url) as switch:
        await switch.post("/moto-api/reset-auth", data=b"0")  # from here on moto looks at the key
        try:
            with pytest.raises(buoy.HttpError) as caught:
                await store.load(bucket="in-xml", key="one")
        finally:
            await switch.post("/moto-api/reset-auth", data=b"inf")
    error = caught.value
    assert (error.status, error.error_type, error.reason) == (403, buoy.ErrorType.UNAUTHORIZED, "invalid_token")
    assert error.code == "InvalidAccessKeyId"
