"""What a decision costs: breaker, limiter, permits, budget, retry and backoff, nothing around them: ``make bench``.

CPU microseconds per decision, hot: it is made again and again in a ``for`` loop whose clock moves on a millisecond each
time. The same loop around ``pass`` is measured in the same round and subtracted, so that a figure is the decision and
the calling of it. The minimum over the rounds is what the code costs, the median what this machine made of it.
"""

import argparse
import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from buoy.outcome import BreakerOutcome, BreakerState, ErrorType, Outcome, Phase, Safety, Verdict
from buoy.policies import backoff
from buoy.policies.breaker import Breaker
from buoy.policies.budget import Budget, RetryBudget
from buoy.policies.circuit import Circuit, Denied, Lease
from buoy.policies.concurrency import Permits
from buoy.policies.rate_limit import Limiter, RateLimit, Reservation
from buoy.policies.retry import Retry, decide

# Makes so many decisions, one each millisecond.
Loop = Callable[[range], None]

START, STEP = 1000.0, 0.001
TARGET = Path("build/decisions.json")


def empty() -> Loop:
    """Return the loop without a decision: what is subtracted from all others."""

    def loop(times: range) -> None:
        now = START
        for _ in times:
            now += STEP
            pass  # noqa: PIE790  # the loop that is subtracted has a body as well

    return loop


def breaker_closed(policy: Breaker) -> Loop:
    """Return the loop of a breaker that stays closed: lease and settling."""
    circuit, success = Circuit(policy), BreakerOutcome.SUCCESS

    def loop(times: range) -> None:
        now = START
        for _ in times:
            now += STEP
            lease = circuit.admit(now)
            circuit.settle(lease, success, slow=False, now=now, random=0.5)  # type: ignore[arg-type]  # it stays closed

    assert isinstance(circuit.admit(START), Lease)
    return loop


def breaker_open() -> Loop:
    """Return the loop of a breaker that refuses."""
    circuit = Circuit(Breaker())
    circuit.force(BreakerState.OPEN, START, 1e6)

    def loop(times: range) -> None:
        now = START
        for _ in times:
            now += STEP
            circuit.admit(now)

    assert isinstance(circuit.admit(START), Denied)
    return loop


def limiter_reserve(*limits: RateLimit) -> Loop:
    """Return the loop of a limiter that has room for everybody."""
    limiter = Limiter(limits)

    def loop(times: range) -> None:
        now = START
        for _ in times:
            now += STEP
            limiter.reserve(now)

    assert isinstance(limiter.reserve(START, left=0), Reservation)
    return loop


def permits() -> Loop:
    """Return the loop of a permit that is taken and given back, with nobody waiting."""
    pool = Permits(20)

    def loop(times: range) -> None:
        now = START
        for _ in times:
            now += STEP
            pool.take()
            pool.give_back()

    assert pool.take()
    return loop


def budget_deposit() -> Loop:
    """Return the loop of a call's deposit."""
    account = Budget(RetryBudget(), START)

    def loop(times: range) -> None:
        now = START
        for _ in times:
            now += STEP
            account.deposit(now)

    return loop


def budget_withdraw() -> Loop:
    """Return the loop of a retry that is granted: the reserve is larger than what the window can see taken."""
    account = Budget(RetryBudget(reserve=10_000), START)

    def loop(times: range) -> None:
        now = START
        for _ in times:
            now += STEP
            account.withdraw(now)

    assert account.withdraw(START)
    return loop


def retry_decide() -> Loop:
    """Return the loop of a failure that is tried again."""
    policy = Retry()
    verdict = Verdict(ErrorType.INTERNAL_SERVER_ERROR, Outcome.UNKNOWN, Phase.RECEIVE, retryable=True)

    def loop(times: range) -> None:
        now = START
        for _ in times:
            now += STEP
            decide(policy, verdict, attempt=1, safety=Safety.SAFE, left=30.0, random=0.5)

    assert decide(policy, verdict, attempt=1, safety=Safety.SAFE, left=30.0, random=0.5).stop is None
    return loop


def backoff_wait() -> Loop:
    """Return the loop of a wait alone."""

    def loop(times: range) -> None:
        now = START
        for _ in times:
            now += STEP
            backoff.full_jitter(2, base=0.1, cap=20.0, random=0.5)

    return loop


ROWS: dict[str, Callable[[], Loop]] = {
    "breaker admit + settle, time window": lambda: breaker_closed(Breaker()),
    "breaker admit + settle, count window": lambda: breaker_closed(Breaker(last=100)),
    "breaker admit, refused": breaker_open,
    "limiter reserve, one rate": lambda: limiter_reserve(RateLimit(10_000)),
    "limiter reserve, two rates": lambda: limiter_reserve(RateLimit(10_000), RateLimit(300_000, per=60)),
    "limiter reserve, no rate": limiter_reserve,
    "permit take + give_back": permits,
    "budget deposit": budget_deposit,
    "budget withdraw": budget_withdraw,
    "retry decide": retry_decide,
    "backoff full_jitter": backoff_wait,
}


def measure(make: Callable[[], Loop], decisions: int) -> float:
    """Return CPU microseconds per turn of a fresh loop; a first tenth, not measured, makes it hot."""
    loop = make()
    loop(range(decisions // 10))
    loop = make()
    gc.collect()
    begun = time.process_time()
    loop(range(decisions))
    return (time.process_time() - begun) / decisions * 1e6


def run(rounds: int, decisions: int) -> tuple[dict[str, list[float]], list[float]]:
    """Return for each row its samples without the loop, and the samples of the loop, one for each round."""
    samples: dict[str, list[float]] = {name: [] for name in ROWS}
    loops: list[float] = []
    for _ in range(rounds):
        loops.append(measure(empty, decisions))
        for name, make in ROWS.items():
            samples[name].append(measure(make, decisions) - loops[-1])
    return samples, loops


def figures(samples: dict[str, list[float]], loops: list[float]) -> dict[str, object]:
    """Return what is told and written."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    rows = {
        name: {"minimum_us": min(found), "median_us": statistics.median(found)}
        for name, found in {**samples, "loop (subtracted)": loops}.items()
    }
    return {"python": platform.python_version(), "machine": machine, **rows}


def main() -> None:
    """Measure, print a table or with ``--json`` the figures, and write ``build/decisions.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--decisions", type=int, default=50_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = figures(*run(arguments.rounds, arguments.decisions))
    text = json.dumps(found, indent=1)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text)
    if arguments.json:
        print(text)
        return
    print(f"CPU us per decision, Python {found['python']}, {found['machine']}\n\n{'':38}{'minimum':>9}{'median':>9}")
    for name, row in found.items():
        if isinstance(row, dict):
            print(f"  {name:36}{row['minimum_us']:9.3f}{row['median_us']:9.3f}")


if __name__ == "__main__":
    main()
