"""An answer in a table of tests, and what it should be understood as."""

import json
from dataclasses import dataclass, field
from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy

from buoy.http.dialects import COMMON
from buoy.http.rules import Judgement, Rule, judge, resolve
from buoy.outcome import ErrorType, Outcome

NOW = 1_800_000_000.0


@dataclass(frozen=True)
class Case:
    """One answer, and what it means: no ``type`` is a success that stands; ``again`` is whether to try again."""

    name: str
    status: int
    body: Any
    type: ErrorType | None
    reason: str | None = None
    code: str | None = None
    after: float | None = None
    again: bool = False
    outcome: Outcome = Outcome.REJECTED
    id: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    media: str = "application/json"

    def judged(self, rule: Rule | None = None) -> Judgement:
        """Return the judgement on the answer by a provider that declares ``rule``, or none."""
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        answer = CIMultiDictProxy(CIMultiDict({"Content-Type": self.media, **self.headers}))
        return judge(self.status, answer, body, resolve("shop", rule or (), COMMON), now=NOW)

    def check(self, said: Judgement) -> None:
        """Check that this is what was understood."""
        if self.type is None:
            assert (said.verdict, said.code, said.rule) == (None, None, None)
            return
        assert said.verdict is not None
        assert (self.type, self.reason) == (said.verdict.error_type, said.verdict.reason)
        assert (self.code, self.id) == (said.code, said.provider_request_id)
        assert (self.after, self.again) == (said.verdict.retry_after, said.verdict.retryable)
        assert self.outcome == said.verdict.outcome
        assert said.broken == ()
