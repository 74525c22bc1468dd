"""Every small change that can be made to a module: mutmut's operators, applied to the whole of it, and two of our own.

Left alone is what cannot be wrong: annotations, imports, docstrings, and the words of `outcome.TABLE`, which are for
people and pinned one by one by the generated reference (`make check`).
"""

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
import libcst.matchers as m
from mutmut.mutation.mutators import OPERATORS_TYPE, mutation_operators


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change to a module, and the lines that differ: a line's number would be another after the next change."""

    was: str
    now: str
    _module: cst.Module
    _unit: cst.CSTNode
    _mutated: cst.CSTNode

    @property
    def code(self) -> str:
        """The text of the mutated module. Made when it is needed: it takes longer than finding the change."""
        return self._module.with_changes(body=[self._changed(node) for node in self._module.body]).code

    def _changed(self, node: cst.CSTNode) -> cst.CSTNode:
        if not isinstance(node, cst.ClassDef):
            return self._swapped(node)
        body = node.body.with_changes(body=[self._swapped(each) for each in node.body.body])
        return node.with_changes(decorators=[self._swapped(each) for each in node.decorators], body=body)

    def _swapped(self, node: cst.CSTNode) -> cst.CSTNode:
        return self._mutated if node is self._unit else node


def mutants_of(path: Path) -> list[Mutant]:
    """Return all mutants of a module, each once, without those that mean the same as the original."""
    module = cst.parse_module(path.read_text(encoding="utf-8"))
    found = []
    for unit in _units(module):
        source = module.code_for_node(unit)
        seen, finder = {_meaning(source)}, _Finder()
        unit.visit(finder)
        for node, change in finder.changes:
            mutated = unit.deep_replace(node, change)
            code = module.code_for_node(mutated)
            meaning = _meaning(code)
            if meaning is not None and meaning not in seen:
                seen.add(meaning)
                found.append(Mutant(*_difference(source.splitlines(), code.splitlines()), module, unit, mutated))
    return found


def _units(module: cst.Module) -> Iterator[cst.CSTNode]:
    """Yield the parts in which changes are looked for: small ones, because making a change takes the time of its part.

    A class is its decorators and the statements of its body; none of ours has a base that takes arguments.
    """
    for node in module.body:
        if isinstance(node, cst.ClassDef):
            yield from (*node.decorators, *node.body.body)
        else:
            yield node


def _negated(node: cst.If | cst.While) -> Iterator[cst.CSTNode]:
    """Take the other branch."""
    test = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    yield node.with_changes(test=cst.UnaryOperation(cst.Not(), test))


def _dropped(node: cst.Expr) -> Iterator[cst.CSTNode]:
    """Leave out a call that is made for its effect."""
    if isinstance(node.value, cst.Call):
        yield cst.Pass()


_OPERATORS: OPERATORS_TYPE = [*mutation_operators, (cst.If, _negated), (cst.While, _negated), (cst.Expr, _dropped)]
_LEFT_ALONE = m.Annotation() | m.Import() | m.ImportFrom() | m.Call(m.Name("Facts"))


class _Finder(cst.CSTVisitor):
    """Collects the changes, as nodes and what may stand in their place."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[tuple[cst.CSTNode, cst.CSTNode]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if m.matches(node, _LEFT_ALONE):
            return False
        for kind, operator in _OPERATORS:
            if isinstance(node, kind):
                self.changes += [(node, change) for change in operator(node)]
        return True


def _meaning(code: str) -> str | None:
    """Return the same for two texts that differ in form only, ``None`` for what is no Python.

    A decorator needs something to decorate.
    """
    text = f"{code}\ndef decorated(): pass" if code.startswith("@") and "\ndef " not in code else code
    try:
        return ast.dump(ast.parse(text))
    except SyntaxError:  # a positional argument behind one by name, for instance: no mutant that could run
        return None


def _difference(was: Sequence[str], now: Sequence[str]) -> tuple[str, str]:
    """Return the lines that differ, as one line each."""
    start = next(at for at, (one, other) in enumerate(zip([*was, ""], [*now, ""], strict=False)) if one != other)
    end = 0
    while end < min(len(was), len(now)) - start and was[-1 - end] == now[-1 - end]:
        end += 1
    return _joined(was[start : len(was) - end]), _joined(now[start : len(now) - end])


def _joined(lines: Iterable[str]) -> str:
    return " ".join(line.strip() for line in lines)
