"""How many sends to a provider may be on their way at once, and who is next when all permits are taken.

It holds no future and wakes nobody: it says who holds a permit, and the pipeline wakes that one. First come, first
served; a newcomer never overtakes those who wait.
"""

from collections import OrderedDict
from dataclasses import KW_ONLY, dataclass
from math import inf

from buoy import options


@dataclass(frozen=True, slots=True)
class Concurrency:
    """At most ``limit`` sends at once; a call waits for a permit at most ``max_wait`` seconds, 0 for not at all.

    ``max_wait=None`` means the time left. Off unless given; 20 is a good start (the essay "Scaling your API with rate
    limiters", Stripe). Raises :class:`ConfigurationError` for values out of range.
    """

    limit: int
    _: KW_ONLY
    max_wait: float | None = None

    def __post_init__(self) -> None:
        """Check the values, once, when the policy is built."""
        options.count("Concurrency", "limit", self.limit, minimum=1, maximum=100_000)
        if self.max_wait is not None:
            options.seconds("Concurrency", "max_wait", self.max_wait, zero=True)


def longest_wait(policy: Concurrency, *, left: float) -> float:
    """Return how many seconds a call may wait for its permit: ``max_wait``, or the time left if that is less."""
    return min(inf if policy.max_wait is None else policy.max_wait, left)


class Permits:
    """The permits of one provider and the queue for them.

    Whoever is not served by :meth:`take` joins with a waiter, any object that is hashed by identity. A waiter leaves
    the queue by being returned from :meth:`give_back` or :meth:`leave`: then it holds a permit and is to be woken.
    """

    __slots__ = ("_limit", "_queue", "_used")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        # Ordered, and left from the middle in one step: a thousand waiters may time out together.
        self._queue: OrderedDict[object, None] = OrderedDict()

    @property
    def limit(self) -> int:
        """The permits there are."""
        return self._limit

    @property
    def used(self) -> int:
        """The permits taken, those granted to waiters that have not woken yet included."""
        return self._used

    @property
    def waiting(self) -> int:
        """The length of the queue."""
        return len(self._queue)

    def take(self) -> bool:
        """Take a permit if one is free; then nobody waits for it, because what comes back goes to the queue first."""
        if self._used >= self._limit:
            return False
        self._used += 1
        return True

    def join(self, waiter: object) -> None:
        """Queue up, after :meth:`take` said no and before anything else happened."""
        self._queue[waiter] = None

    def give_back(self) -> object | None:
        """Return a permit to the first in the queue, who holds it from now on and is to be woken; else to the pool."""
        if self._queue:
            return self._queue.popitem(last=False)[0]
        # One return too many must not make permits that nobody configured.
        self._used = max(0, self._used - 1)
        return None

    def leave(self, waiter: object) -> object | None:
        """Give up waiting: cancelled, or out of time. Call it only for a waiter that does not go on to send.

        A waiter that has been granted its permit meanwhile passes it on; returned is who is to be woken for it.
        """
        if waiter in self._queue:
            del self._queue[waiter]
            return None
        return self.give_back()
