"""``buoy call URL``: one instrumented call to any real URL, and its story."""

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from pathlib import Path

import buoy
from buoy.cli import FAILED, INTERRUPTED, story, words
from buoy.cli.chronicle import Chronicle
from buoy.cli.target import NotCallableError, Target, parse
from buoy.http import headers as http_headers
from buoy.http.body import Decoder, plain
from buoy.http.request import Answer
from buoy.pipeline.call import Call
from buoy.provider.operation import SAFETY

# One template for all URLs. The path of any URL holds ids, which telemetry must not carry, and what a template expands
# is percent-encoded, while here the URL is sent as it was given.
_TEMPLATE = "/{path}"


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent, and as what unless a header says otherwise."""

    content: bytes = field(repr=False)
    content_type: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``buoy call``."""
    parser.add_argument(
        "url", metavar="URL", type=_url, help="http or https; sent exactly as given, redirects are followed"
    )
    parser.add_argument("--method", type=_method, help=f"{', '.join(SAFETY)} (default: GET, with --data POST)")
    parser.add_argument(
        "--header",
        type=_header,
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="may be repeated; never shown, and no secret goes where a redirect leads to another origin",
    )
    parser.add_argument(
        "--data",
        type=_body,
        metavar="TEXT|@FILE",
        help="the body; @- reads standard input; sent as JSON if it is a JSON object or array",
    )
    parser.add_argument(
        "--attempts", type=_retry, default=buoy.Retry(), metavar="N", help="at most N tries, 1 to 20 (default 3)"
    )
    parser.add_argument(
        "--timeout",
        type=_timeout,
        default=buoy.Timeout(),
        metavar="SECONDS",
        help="for all tries and waits together (default 30); one try takes at most 10",
    )
    parser.add_argument("--json", action="store_true", help="the story as one JSON object")
    parser.add_argument(
        "--show-body", action="store_true", help="the answer's body on standard output, the story on standard error"
    )
    parser.add_argument("--show-query", action="store_true", help="show query values, which are REDACTED otherwise")


def main(args: argparse.Namespace) -> int:
    """Make the call, tell its story, and return the exit code."""
    chronicle = Chronicle()
    result: buoy.HttpResult[bytes] | None = None
    error: BaseException | None = None
    logger, silence = logging.getLogger("buoy"), logging.NullHandler()
    logger.addHandler(silence)  # the story says it all: without any handler, logging would say it again on stderr
    try:
        result = asyncio.run(_call(args, chronicle))
    except (Exception, KeyboardInterrupt) as raised:  # however the call ended, that is its story
        if chronicle.call is None:
            raise
        error = raised
    finally:
        logger.removeHandler(silence)
    _report(args, chronicle, result, error)
    if error is None:
        return 0
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED


async def _call(args: argparse.Namespace, chronicle: Chronicle) -> buoy.HttpResult[bytes]:
    target: Target = args.url
    body: Body | None = args.data
    headers = {} if body is None else {"Content-Type": body.content_type}
    async with buoy.Provider(
        "cli",
        base_url=target.origin,
        retry=args.attempts,
        timeout=args.timeout,
        breaker=None,  # it is about many calls: here it could only cut short the tries that were asked for
    ) as provider:
        operation = provider.find(_method_of(args), _TEMPLATE, None)
        operation.plan = replace(operation.plan, recorder=chronicle.around(operation.plan.recorder))
        operation.send = _as_given(target, operation.send)
        return await operation.call(
            path="as-given",
            data=None if body is None else body.content,
            headers={**headers, **_joined(args.header)},
        )


def _as_given(target: Target, send: Callable[[Call], Awaitable[Answer]]) -> Callable[[Call], Awaitable[Answer]]:
    """Return ``send`` for the URL as it was given, with the body of the answer kept as it came."""

    async def send_as_given(call: Call) -> Answer:
        call.request.url = target.url
        call.request.decoder = _KEPT
        if target.query:
            call.url = f"{target.origin}{_TEMPLATE}?{target.redacted_query}"
        return await send(call)

    return send_as_given


class _Kept(Decoder[bytes]):
    """Judges a body as every call without a model does, and keeps its bytes."""

    def decode(self, body: bytes, content_type: str) -> bytes:
        plain(body, content_type)
        return body


_KEPT = _Kept("buoy call", None)


def _report(
    args: argparse.Namespace,
    chronicle: Chronicle,
    result: buoy.HttpResult[bytes] | None,
    error: BaseException | None,
) -> None:
    assert chronicle.call is not None  # noqa: S101  # a call that ended has begun
    answer = None
    if result is not None:
        answer = story.received(result.status, result.headers, size=len(result.value), show_query=args.show_query)
        if args.show_body:
            sys.stdout.buffer.write(result.value)
            sys.stdout.buffer.flush()
    told = story.of(
        chronicle.call,
        chronicle.steps,
        method=_method_of(args),
        url=args.url.shown(show_query=args.show_query),
        answer=answer,
        error=error,
        show_query=args.show_query,
    )
    text = json.dumps(asdict(told)) if args.json else words.tell(told)
    print(text, file=sys.stderr if args.show_body else sys.stdout)


def _method_of(args: argparse.Namespace) -> str:
    method: str = args.method or ("GET" if args.data is None else "POST")
    return method


def _joined(headers: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """Return headers by name; those given several times as one list, which means the same (RFC 9110 section 5.3)."""
    joined: dict[str, str] = {}
    for name, value in headers:
        known = next((other for other in joined if other.lower() == name.lower()), name)
        separator = "; " if known.lower() == "cookie" else ", "
        joined[known] = f"{joined[known]}{separator}{value}" if known in joined else value
    return joined


# What argparse calls for each argument. Their messages never show what was given: it may be secret.


def _url(text: str) -> Target:
    try:
        return parse(text)
    except NotCallableError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _method(text: str) -> str:
    if text.upper() not in SAFETY:
        msg = f"it must be one of {', '.join(SAFETY)}"
        raise argparse.ArgumentTypeError(msg)
    return text.upper()


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not http_headers.is_name(name):
        raise argparse.ArgumentTypeError("it must look like 'Name: value', with a valid name before the colon")
    objection = http_headers.objection(name, value.strip())
    if objection is not None:
        raise argparse.ArgumentTypeError(objection)
    return name, value.strip()


def _body(text: str) -> Body:
    if not text.startswith("@"):
        content, otherwise = os.fsencode(text), "text/plain; charset=utf-8"
    else:
        content, otherwise = _file(text[1:]), "application/octet-stream"
    return Body(content, "application/json" if _is_json(content) else otherwise)


def _file(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise argparse.ArgumentTypeError(f"the file cannot be read ({reason})") from None


def _is_json(content: bytes) -> bool:
    try:
        return isinstance(json.loads(content), dict | list)
    except (ValueError, RecursionError):
        return False


def _retry(text: str) -> buoy.Retry:
    try:
        return buoy.Retry(max_attempts=int(text))
    except ValueError:
        raise argparse.ArgumentTypeError("it must be an integer from 1 to 20") from None


def _timeout(text: str) -> buoy.Timeout:
    try:
        total = float(text)
        return buoy.Timeout(total=total if isfinite(total) else 0)  # a call without an end is for streams
    except ValueError:
        raise argparse.ArgumentTypeError("it must be a number of seconds above 0") from None
