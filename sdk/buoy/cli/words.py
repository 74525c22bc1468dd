"""A story in plain words, for a terminal. What came from the other side is shown as visible ASCII, and cut."""

from collections.abc import Iterator

from buoy.cli.story import Failure, Judgement, Received, SendStep, Story, WaitStep
from buoy.outcome import AttemptKind, CallResult, DelaySource, Outcome, StopReason, WaitCause

_LABEL = 10
_LONGEST = 200

OUTCOMES = {
    Outcome.NOT_SENT: "nothing was sent",
    Outcome.REJECTED: "the provider refused it, nothing was done",
    Outcome.UNKNOWN: "unknown, it may have happened",
    Outcome.APPLIED: "the provider did it",
}
STOPS = {
    StopReason.MAX_ATTEMPTS: "the tries are used up (--attempts)",
    StopReason.DEADLINE: "no time is left for another try (--timeout)",
    StopReason.BUDGET: "this provider has had its share of retries for now",
    StopReason.NOT_RETRYABLE: "this failure does not go away by trying again",
    StopReason.NOT_IDEMPOTENT: "sending it again could do it twice",
    StopReason.NOT_REPLAYABLE: "the body cannot be sent a second time",
    StopReason.RETRY_AFTER: "the provider asks to wait longer than there is time (--timeout)",
    StopReason.REFUSED: "the breaker or a limit of ours kept the next try back",
}
WAITS = {
    WaitCause.BACKOFF: "backoff",
    WaitCause.RATE_LIMIT: "pause for the rate limit",
    WaitCause.CONCURRENCY: "queue for a permit",
}
CHOSEN = {
    DelaySource.BACKOFF: "us",
    DelaySource.RETRY_AFTER: "the provider (Retry-After)",
}
ENDS = {
    CallResult.SUCCESS: "success",
    CallResult.FAILURE: "failed",
    CallResult.CALLER_ERROR: "failed",
    CallResult.REFUSED: "refused",
    CallResult.CANCELLED: "cancelled",
}


def tell(story: Story) -> str:
    """Return the story as lines of text."""
    return "\n".join(_lines(story))


def _lines(story: Story) -> Iterator[str]:
    yield f"{story.method} {story.url}"
    yield ""
    for step in story.steps:
        yield _send(step) if isinstance(step, SendStep) else _wait(step)
    yield ""
    yield line(ENDS[story.result], _end(story))
    if story.error is not None:
        yield from _failure(story.error)
    if story.answer is not None:
        yield from _answer(story.answer)
    if story.duplicate:
        yield line("note", "the HTTP library sent the request again by itself: it may have run twice")
    if len({step.origin for step in story.steps if isinstance(step, SendStep)}) > 1:
        yield line("note", "another origin gets no credentials: of --header only what is harmless, like Accept")
    time = story.time
    yield line(
        "time",
        f"{seconds(time.total)} = {seconds(time.sends)} sending and receiving + {seconds(time.waits)} waiting "
        f"+ {seconds(time.own)} our own",
    )
    if story.trace_id is not None:
        yield line("trace", story.trace_id)


def _send(step: SendStep) -> str:
    kind = str(step.kind)
    if step.kind is AttemptKind.RESEND:
        kind += " by the HTTP library"
    elif step.kind is AttemptKind.REDIRECT:
        kind += f" to {step.method} {step.origin}"
    parts = [] if step.status is None else [f"HTTP {step.status}"]
    if step.error is not None:
        parts.append(_judged(step.error))
    if step.provider_request_id is not None:
        parts.append(f"request id {step.provider_request_id}")
    return line(f"try {step.number}", f"{kind}, {seconds(step.seconds)}: {', '.join(parts)}")


def _wait(step: WaitStep) -> str:
    chosen = "" if step.chosen_by is None else f", chosen by {CHOSEN[step.chosen_by]}"
    after = "" if step.after is None else f", after {step.after}"
    return line("wait", f"{WAITS[step.cause]} of {seconds(step.seconds)}{chosen}{after}")


def _judged(judgement: Judgement) -> str:
    reason = "" if judgement.reason is None else f" ({judgement.reason})"
    later = "" if judgement.retry_after is None else f", retry after {judgement.retry_after:g} s"
    return f"{judgement.type}{reason}: {judgement.meaning}{later}"


def _end(story: Story) -> str:
    tries = f"{story.attempts} {'try' if story.attempts == 1 else 'tries'}"
    if story.error is None:
        status = "" if story.answer is None else f"HTTP {story.answer.status}, "
        return f"{status}{tries}"
    said = "" if story.error.message is None else f": {visible(story.error.message)}"
    return f"{story.error.exception} after {tries}{said}"


def _failure(failure: Failure) -> Iterator[str]:
    category = "" if failure.category is None else f", category {failure.category}"
    yield line("error", f"type {failure.type}{category}: {failure.meaning}")
    yield line("outcome", OUTCOMES[failure.outcome])
    if failure.stop_reason is not None:
        yield line("no retry", STOPS[failure.stop_reason])
    if failure.says is not None:
        yield line("they say", visible(failure.says))
    yield line("advice", failure.advice)


def _answer(answer: Received) -> Iterator[str]:
    size = "not kept" if answer.bytes is None else f"{answer.bytes} bytes"
    yield line("body", size if answer.content_type is None else f"{size}, {visible(answer.content_type)}")
    for name, value in answer.headers.items():
        yield line("header", visible(f"{name}: {value}"))


def line(label: str, text: str) -> str:
    """Return a line of text with its label before it."""
    return f"{label:<{_LABEL}}{text}"


def visible(text: str) -> str:
    """Return text of unknown origin as visible ASCII, so that it cannot steer a terminal, and not too long."""
    shown = "".join(char if char.isprintable() else "?" for char in text)
    shown = shown.encode("ascii", "backslashreplace").decode()
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."


def seconds(value: float) -> str:
    """Write a duration so that it can be read at a glance."""
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"
