"""The pure retry components: how long, what a header asks, how much time is left, and whether at all."""

import errno
from math import inf
from typing import Any, ClassVar

import aiohttp
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict

from buoy.http import classify, headers
from buoy.outcome import ErrorType, Outcome, Phase, Safety, StopReason, Verdict
from buoy.policies import backoff, deadline, retry
from buoy.provider.operation import specify
from tests.support.vectors.compare import equal
from tests.support.vectors.component import Component, Fields

_PASSING = Verdict(ErrorType.NETWORK_ERROR, Outcome.NOT_SENT, Phase.CONNECT, retryable=True)
_TOOL_CALL = "MCP tools/call"
# Where the connection goes does not matter; aiohttp's exception must name it.
_WHERE = ConnectionKey("127.0.0.1", 443, True, True, None, None, None, None)  # noqa: FBT003


class Backoff(Component):
    """``retry_backoff``: rows of ``buoy.policies.backoff``."""

    fields = frozenset({"attempt", "base_s", "cap_s", "factor", "jitter", "random"})
    expectations = frozenset({"delay_s", "max_s", "min_s"})

    def take(self, step: Fields) -> Fields:
        """Return the wait after a failed try, and its smallest and largest value."""
        row = self.merged(step)
        curve = {"base": row["base_s"], "factor": row.get("factor", 2), "cap": _or(row.get("cap_s"), inf)}
        attempt, jitter = int(row["attempt"]), row.get("jitter", "none")
        if jitter == "none":
            nominal = backoff.nominal(attempt, **curve)
            return {"delay_s": nominal, "min_s": nominal, "max_s": nominal}
        if jitter != "full":
            raise ValueError(f"jitter {jitter!r} is not in the README")
        drawn = {"min_s": 0.0, "max_s": 1.0} | ({"delay_s": row["random"]} if "random" in row else {})
        return {name: backoff.full_jitter(attempt, **curve, random=r) for name, r in drawn.items()}


class AfterHeader(Component):
    """``retry_after_parse``: rows of ``buoy.http.headers.retry_after``."""

    fields = frozenset({"format", "header", "now"})
    expectations = frozenset({"delay_s"})

    def take(self, step: Fields) -> Fields:
        """Return what the header asks to wait."""
        row = self.merged(step)
        now = headers.http_date(row["now"]) if "now" in row else 0.0
        if now is None:
            raise ValueError(f"now {row['now']!r} is not an HTTP-date")
        return {"delay_s": headers.retry_after(row["header"], now=now)}


class Deadline(Component):
    """``retry_deadline``: one call whose tries take time and fail, through ``buoy.policies``."""

    in_sequence = True
    fields = frozenset({"attempt", "backoff_s", "deadline_s", "fail", "took_s"})
    expectations = frozenset({"next", "remaining_for_retry_incl_backoff_s"})

    def __init__(self, config: Fields) -> None:
        super().__init__(config)
        self._now = 0.0
        self._failed = 0

    def take(self, step: Fields) -> Fields:
        """Let one try take its time and fail, and return what is left and what follows."""
        row = self.merged(step)
        self._now = row.get("t", self._now) + row.get("took_s", 0)
        at = deadline.deadline_at(deadline.Timeout(total=row["deadline_s"]), now=0.0)
        left = deadline.time_left(at, now=self._now)
        said: dict[str, Any] = {"remaining_for_retry_incl_backoff_s": left, "next": None}
        if row.get("fail", False):
            said["next"] = self._next(row["backoff_s"][self._failed], left)
            self._failed += 1
        return said

    def same(self, name: str, got: Any, want: Any) -> bool:
        """Compare the seconds in ``"sleep <s>"`` as the number they are."""
        if name == "next" and isinstance(got, str) and isinstance(want, str):
            got, want = ([_number(word) for word in text.split(" ")] for text in (got, want))
        return equal(got, want)

    def _next(self, wait: float, left: float) -> str:
        # A curve that is flat at the listed wait: base and cap are the same, and no jitter takes from it.
        policy = retry.Retry(max_attempts=20, base=wait, throttled_base=wait, cap=wait or 1)
        decision = retry.decide(policy, _PASSING, attempt=1, safety=Safety.SAFE, left=left, random=1.0)
        if decision.stop is None:
            self._now += decision.delay
            return f"sleep {decision.delay}"
        if decision.stop is not StopReason.DEADLINE:
            raise ValueError(f"stopped for {decision.stop}, not for the deadline")
        return f"stop: {decision.stop}"


class Eligibility(Component):
    """``retry_eligibility``: rows of ``buoy.http.classify`` and ``buoy.policies.retry``."""

    fields = frozenset({"annotations", "error", "header", "idempotency_key", "method", "status"})
    expectations = frozenset({"retry"})
    _errors: ClassVar = {
        "connection lost after send": (aiohttp.ServerDisconnectedError(), True),
        "connection refused before send": (
            aiohttp.ClientConnectorError(_WHERE, ConnectionRefusedError(errno.ECONNREFUSED, "refused")),
            False,
        ),
    }

    def take(self, step: Fields) -> Fields:
        """Return whether a policy that has tries and time left would send again."""
        row = self.merged(step)
        decision = retry.decide(
            retry.Retry(), self._verdict(row, step), attempt=1, safety=self._safety(row), left=inf, random=0.0
        )
        return {"retry": decision.stop is None}

    def _verdict(self, row: Fields, step: Fields) -> Verdict:
        if row.get("error") is None:
            # The two meet under one word: the config's is the header's name, the row's is its value.
            name, value = self.config.get("header"), step.get("header")
            if name is None and "header" in step:
                raise ValueError("a header's value, and no config that names the header")
            answer = CIMultiDict({} if name is None or value is None else {name: value})
            return classify.status(row["status"], should_retry=headers.should_retry(answer))
        error, sending = self._errors[row["error"]]
        verdict = classify.exception(error, sending=sending)
        if verdict is None:
            raise ValueError(f"{type(error).__name__} is not in the table")
        return verdict

    def _safety(self, row: Fields) -> Safety:
        # A row of a provider with an override header is a call that carries a key, unless it says otherwise.
        keyed = row.get("idempotency_key", "header" in self.config)
        method = row.get("method", "POST")
        if method != _TOOL_CALL:
            return specify(method, "/", key_header="Idempotency-Key" if keyed else None).safety
        hints = row.get("annotations") or {}
        if hints.get("readOnlyHint", False):
            return Safety.SAFE
        if hints.get("idempotentHint", False):
            return Safety.IDEMPOTENT
        return Safety.KEYED if keyed else Safety.UNSAFE


def _number(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word


def _or(value: Any, absent: float) -> Any:
    return absent if value is None else value
