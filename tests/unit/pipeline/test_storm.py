"""The laws of all policies together: many calls at once, with any results, cancellations, deadlines and operators."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buoy.errors import BuoyError
from buoy.outcome import BreakerState, CallResult, LimitSource
from buoy.pipeline.call import Call
from buoy.pipeline.gates import BreakerGate, LimiterGate
from buoy.pipeline.run import run
from buoy.policies.breaker import Breaker
from buoy.policies.budget import Budget, RetryBudget
from buoy.policies.circuit import Denied, Lease
from buoy.policies.concurrency import Concurrency
from buoy.policies.deadline import Timeout
from buoy.policies.rate_limit import RateLimit, Rejected, Reservation
from buoy.policies.retry import Retry
from buoy.result import Quota
from tests.support import virtual_time
from tests.support.virtual_time import now
from tests.unit.pipeline.gated import Gates, Watching
from tests.unit.pipeline.scripted import Step, busy, late, lost, missing, refused, throttled

# Sums of floats.
CLOSE = 1e-6
# So many permits that nobody queues for one.
AMPLE = 100


# What happens. Most times are quarters of a second, so that things often happen at the same moment.


@dataclass(frozen=True)
class Visit:
    """A call: when it comes, of which operation, what its tries meet, its own deadline, and when it is cancelled."""

    comes: float
    own_limiter: bool
    steps: tuple[Step, ...]
    asked: float | None
    leaves: float | None


@dataclass(frozen=True)
class Deed:
    """Something that an operator or the provider does meanwhile."""

    at: float
    does: Callable[["Storm"], None]

    def __repr__(self) -> str:
        return f"Deed({self.at}, {self.does.__name__})"


@dataclass(frozen=True, kw_only=True)
class Weather:
    """The policies; everything is on."""

    breaker: Breaker
    rates: tuple[RateLimit, ...]
    concurrency: Concurrency
    budget: RetryBudget
    retry: Retry
    cost: float
    draw: float


class Leases(BreakerGate):
    """A breaker that keeps the leases it granted."""

    def __init__(self, policy: Breaker) -> None:
        super().__init__("shop", policy, Watching())
        self.granted: list[Lease] = []

    def admit(self, now: float) -> Lease | Denied:
        """Keep it."""
        answer = super().admit(now)
        if isinstance(answer, Lease):
            self.granted.append(answer)
        return answer

    @property
    def generation(self) -> int:
        """The number of the present period."""
        return self._circuit.generation


class Turns(LimiterGate):
    """A limiter that keeps the turns it gave."""

    given: list[Reservation]

    def reserve(self, now: float, cost: float, left: float) -> Reservation | Rejected:
        """Keep it."""
        turn = super().reserve(now, cost, left)
        if isinstance(turn, Reservation):
            self.given.append(turn)
        return turn


class Account(Budget):
    """A budget that counts what was taken of it for good."""

    taken = 0

    def withdraw(self, now: float) -> bool:
        """Count it; what is not there cannot be taken."""
        before = self.remaining(now)
        granted = super().withdraw(now)
        assert granted == (before >= 1)
        assert self.remaining(now) == before - granted
        self.taken += granted
        return granted

    def give_back(self, now: float, *, taken: float) -> None:
        """Count it."""
        super().give_back(now, taken=taken)
        self.taken -= 1


class Storm:
    """One provider in the weather: it checks what always holds whenever a request leaves."""

    def __init__(self, weather: Weather) -> None:
        self.weather = weather
        self.gates = Gates(rates=weather.rates, concurrency=weather.concurrency, cost=weather.cost)
        loop, watching = asyncio.get_running_loop(), self.gates.watching
        self.limiters = [Turns(loop, weather.rates, watching, self.gates.limiters) for _ in range(2)]
        for limiter in self.limiters:
            limiter.given = []
        self.circuit = Leases(weather.breaker)
        self.account = Account(weather.budget, now())
        self.plan = replace(
            self.gates.plan,
            breaker=self.circuit,
            slow_over=weather.breaker.slow_over(3),
            budget=self.account,
            retry=weather.retry,
            timeout=Timeout(total=40, attempt=3),
            retry_on=(KeyError,),
        )
        # The requests on their way, by the period of the breaker in which they left; and all that left.
        self.out: Counter[int] = Counter()
        self.left: list[tuple[LimiterGate, float]] = []
        self.fills: dict[tuple[LimiterGate, RateLimit], tuple[float, float]] = {}
        self.calls: list[Call] = []

    async def visit(self, visit: Visit) -> str:
        """Make one call."""
        await asyncio.sleep(visit.comes)
        plan = replace(self.plan, limiter=self.limiters[visit.own_limiter])
        call = Call(plan, asyncio.get_running_loop(), request=visit.steps, asked=visit.asked)
        self.calls.append(call)
        return await run(call, self.send)

    async def send(self, call: Call) -> str:
        """Meet the next of the steps."""
        step = call.request[min(call.attempt, len(call.request)) - 1]
        send, period = call.begin_send(), self.circuit.generation
        self.out[period] += 1
        self.check(call, period)
        try:
            async with asyncio.timeout(call.limit):
                await asyncio.sleep(step.seconds)
            if step.error is not None:
                raise step.error
        except TimeoutError:
            raise late() from None
        finally:
            self.out[period] -= 1
            call.end_send(send, None)
        return "well"

    def check(self, call: Call, period: int) -> None:
        """Check what holds at the moment when a request leaves."""
        at, limiter = now(), call.plan.limiter
        assert limiter is not None
        state = self.circuit.state(at)
        assert state not in {BreakerState.OPEN, BreakerState.FORCED_OPEN}
        if state is BreakerState.HALF_OPEN:
            probes = self.out[period] + self.circuit.figures(at).buffered
            assert probes <= self.weather.breaker.half_open_permits
        assert not limiter.is_paused(at)
        assert at < call.deadline
        assert self.out.total() <= self.weather.concurrency.limit
        self.left.append((limiter, at))
        for rate in self.weather.rates:
            self.check_rate(limiter, rate, at)

    def check_rate(self, limiter: LimiterGate, rate: RateLimit, at: float) -> None:
        """Check that no more has left than the rate allows: from the beginning, and where nobody queues at any time."""
        spent = self.weather.cost * sum(each is limiter for each, _ in self.left)
        assert spent <= rate.capacity + rate.rate / rate.per * at + CLOSE
        # The fill of a bucket that leaks at the rate is what the busiest interval up to now holds above it. Those who
        # had their turn and queue for a permit may leave together when permits come back, so that it may flow over.
        fill, before = self.fills.get((limiter, rate), (0.0, 0.0))
        fill = max(0.0, fill - (at - before) * rate.rate / rate.per) + self.weather.cost
        self.fills[limiter, rate] = fill, at
        assert fill <= rate.capacity + CLOSE or self.weather.concurrency.limit < AMPLE

    def check_the_end(self, results: list[str | BaseException]) -> None:
        """Check that nothing is taken or waited for, that all calls were counted, and that no unit was lost."""
        at, permits = now(), self.plan.permits
        assert permits is not None
        assert (permits.permits.used, permits.permits.waiting, self.out.total()) == (0, 0, 0)
        assert [lease for lease in self.circuit.granted if not lease.settled] == []
        for limiter in self.limiters:
            assert (limiter.waiting, [*limiter.limiter._waiting()]) == (0, [])
            assert limiter.limiter.remaining(at) == floor(limiter.limiter.capacity)
            assert limiter.limiter.peek(at, cost=limiter.limiter.capacity) == 0
        retries = sum(max(0, call.attempt - 1) for call in self.calls)
        assert self.account.taken == retries
        assert self.account.remaining(at) == Budget(self.weather.budget, 0).remaining(0)
        tally = self.gates.tally
        assert (sum(tally.results.values()), tally.attempts) == (len(self.calls), sum(c.attempt for c in self.calls))
        assert tally.sends == tally.attempts == len(self.left)
        assert tally.results[CallResult.SUCCESS] == results.count("well")
        self.check_the_probes()

    def check_the_probes(self) -> None:
        """Check that a half-open breaker has all of its probes again."""
        at, most = now(), self.weather.breaker.half_open_permits
        self.circuit.reset(at)
        self.circuit.force(BreakerState.OPEN, at)
        self.circuit.force(BreakerState.HALF_OPEN, at)
        assert [isinstance(self.circuit.admit(at), Lease) for _ in range(most + 1)] == [True] * most + [False]


def opened(storm: Storm) -> None:
    """An operator opens the breaker for a second."""
    storm.circuit.force(BreakerState.OPEN, now(), 1)


def half_opened(storm: Storm) -> None:
    """An operator lets probes through."""
    if storm.circuit.state(now()) is not BreakerState.CLOSED:
        storm.circuit.force(BreakerState.HALF_OPEN, now())


def reset(storm: Storm) -> None:
    """An operator begins anew."""
    storm.circuit.reset(now())


def paused(storm: Storm) -> None:
    """An operator pauses the provider."""
    storm.limiters[0].pause(now() + 2, now(), LimitSource.LOCAL)


def told(storm: Storm) -> None:
    """The provider says that it is used up for a while."""
    storm.limiters[1].heed(Quota(limit=9, remaining=0, reset=1.5), None, now())


def quarters(low: int, high: int) -> st.SearchStrategy[float]:
    """Return times in quarters of a second."""
    return st.integers(low, high).map(lambda quarter: quarter / 4)


FAILURES: list[Callable[[], Exception] | None] = [
    None,
    None,
    busy,
    lost,
    missing,
    refused,
    throttled,
    lambda: throttled(retry_after=1),
    lambda: busy(retry_after=2),
    lambda: busy(retry_after=70),
    lambda: KeyError("x"),
]
STEP = st.builds(lambda make, seconds: Step(make and make(), seconds), st.sampled_from(FAILURES), quarters(0, 14))
VISITS = st.lists(
    st.builds(
        Visit,
        comes=quarters(0, 40),
        own_limiter=st.booleans(),
        steps=st.lists(STEP, min_size=1, max_size=3).map(tuple),
        asked=st.none() | quarters(0, 40),
        leaves=st.none() | quarters(0, 60),
    ),
    max_size=25,
)
DEEDS = st.lists(
    st.builds(Deed, quarters(0, 40), st.sampled_from([opened, half_opened, reset, paused, told])), max_size=5
)
WEATHER = st.builds(
    Weather,
    breaker=st.builds(
        Breaker,
        last=st.integers(1, 6),
        minimum_calls=st.integers(1, 6),
        wait=quarters(1, 8),
        half_open_permits=st.integers(1, 3),
        half_open_for=quarters(1, 20),
    ),
    rates=st.sampled_from(
        [
            (RateLimit(4),),
            (RateLimit(1, burst=3),),
            (RateLimit(2, max_wait=2),),
            (RateLimit(8, burst=1), RateLimit(10, per=10)),
        ]
    ),
    concurrency=st.builds(Concurrency, st.integers(1, 3) | st.just(AMPLE), max_wait=st.none() | quarters(0, 8)),
    budget=st.builds(RetryBudget, ratio=st.sampled_from([0, 0.2, 1]), reserve=st.sampled_from([0, 0.1, 1])),
    retry=st.builds(Retry, max_attempts=st.integers(1, 4), base=quarters(0, 4), throttled_base=quarters(0, 4)),
    cost=st.sampled_from([1, 1, 0.5]),
    draw=st.floats(0, 1),
)


async def blow(weather: Weather, visits: list[Visit], deeds: list[Deed]) -> None:
    """Let it all happen, and check."""
    storm, loop = Storm(weather), asyncio.get_running_loop()
    tasks = [asyncio.ensure_future(storm.visit(visit)) for visit in visits]
    for deed in deeds:
        loop.call_at(deed.at, deed.does, storm)
    for task, visit in zip(tasks, visits, strict=True):
        if visit.leaves is not None:
            loop.call_at(visit.leaves, task.cancel)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, AssertionError):
            raise result
        assert isinstance(result, str | BuoyError | KeyError | asyncio.CancelledError)
    await asyncio.sleep(200)  # windows and pauses have passed
    storm.check_the_end(results)


@settings(max_examples=300, deadline=None)
@given(weather=WEATHER, visits=VISITS, deeds=DEEDS)
def test_whatever_the_weather(weather: Weather, visits: list[Visit], deeds: list[Deed]) -> None:
    """Nothing leaves that a policy forbids, nothing waits for ever, and at the end all is back at rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("buoy.pipeline.run.random", lambda: weather.draw)
        patch.setattr("buoy.pipeline.admission.random", lambda: weather.draw)
        virtual_time.run(blow(weather, visits, deeds))
