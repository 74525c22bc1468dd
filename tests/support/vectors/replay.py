"""Replays vectors: files to vectors, vectors to steps, steps to differences. It knows no component."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.vectors.component import Component, Fields
from tests.support.vectors.offered import OFFERED

FORMAT = "buoy-vectors/1"
_ALWAYS = frozenset({"expect", "note", "op", "t"})


class MisfitError(Exception):
    """The vector says something that the README does not."""


@dataclass
class Report:
    """What a replay found."""

    passed: int = 0
    failures: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield the report for a reader; the last line is the count."""
        yield from (f"FAILED {failure}" for failure in self.failures)
        yield f"{self.passed} passed, {len(self.failures)} failed"


def replay(paths: list[Path]) -> Report:
    """Replay all vectors of ``paths``: files, or folders with ``.json`` files at any depth."""
    report = Report()
    for path in paths:
        files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
        if not files:
            report.failures.append(f"{path}: no vector file in it")
        for file in files:
            try:
                vectors = _load(file)
            except (OSError, ValueError, MisfitError) as error:
                report.failures.append(f"{file}: {error}")
                continue
            for vector in vectors:
                _replay_one(vector, file.name, report)
    return report


def _load(file: Path) -> list[dict[str, Any]]:
    content = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise MisfitError(f"not a file of format {FORMAT}")
    vectors = content.get("vectors")
    if not isinstance(vectors, list) or not vectors or not all(isinstance(vector, dict) for vector in vectors):
        raise MisfitError("it holds no vectors")
    return vectors


def _replay_one(vector: Fields, file: str, report: Report) -> None:
    name = vector.get("component")
    try:
        if name not in OFFERED:
            raise MisfitError(f"unknown component {name!r}")
        differences = list(_differences(OFFERED[str(name)], vector))
    except Exception as error:  # noqa: BLE001  # whatever a vector does to the code is that vector's failure
        differences = [f"{type(error).__name__}: {error}"]
    if differences:
        report.failures.append(f"{file} {vector.get('id')} ({vector.get('title')}): {'; '.join(differences)}")
    else:
        report.passed += 1


def _differences(kind: type[Component], vector: Fields) -> Iterator[str]:
    config, steps = vector.get("config") or {}, vector.get("steps") or []
    _check(kind, config, steps)
    component = kind(config)
    try:
        for number, step in enumerate(steps, 1):
            if not kind.in_sequence and number > 1:
                component.close()
                component = kind(config)
            yield from _step_differences(component, step, f"step {number}")
    finally:
        component.close()


def _check(kind: type[Component], config: Fields, steps: list[Fields]) -> None:
    """Refuse what the README does not define: passing over it would be a silent skip."""
    _only(config, kind.fields | {"note"}, "field in config")
    if not any(step.get("expect") for step in steps):
        raise MisfitError("nothing is expected")
    for step in steps:
        if step.get("op") not in kind.operations:
            raise MisfitError(f"unknown operation {step.get('op')!r}")
        _only(step, kind.fields | _ALWAYS, "field in a step")
        _only(step.get("expect") or {}, kind.expectations, "expectation")


def _only(given: Fields, known: frozenset[str], what: str) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise MisfitError(f"unknown {what}: {', '.join(unknown)}")


def _step_differences(component: Component, step: Fields, where: str) -> Iterator[str]:
    got = component.take(step)
    for name, want in (step.get("expect") or {}).items():
        if name not in got:
            yield f"{where}: {name}: nothing to compare with {want!r}"
        elif not component.same(name, got[name], want):
            yield f"{where}: {name}: got {got[name]!r}, want {want!r}"
