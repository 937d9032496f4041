"""Which test shows which clause: `python -m tests.conformance` checks specs/conformance.md, `--rewrite` writes it.

A clause is a bold id in a specification (`**P4.3**`). A test shows it by naming it in its docstring or in a comment; so
do scenario files and the formal model, in their comments. `P4.3 to P4.6` names all four. What a module's docstring, a
fixture or a helper names is shown by the whole file.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "specs" / "conformance.md"
SPECS: Final = ("protocol-v1.md", "storage-v1.md", "hcom-bridge-v1.md")

UNTESTED: Final[dict[str, str]] = {
    "T4.2": "there is one format so far: nothing to migrate from. A newer one is refused, see T4.1",
}
"""Clauses that no test shows, and why. A clause that has a test must not stand here."""

_ID: Final = r"(?:[PTB][1-9]\d?\.[1-9]\d?|[SL][1-9]\d?)"
_CLAUSE: Final = re.compile(rf"\*\*({_ID})\*\*")
_NAMED: Final = re.compile(rf"\b({_ID})\b(?!\.\d)(?: to ({_ID})\b)?")
_SECTION: Final = re.compile(r"^## (.+)$", re.MULTILINE)
_PML_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)
_SAYS_CHARS: Final = 90


class Clause(NamedTuple):
    """One rule of a specification.

    Attributes:
        id: like P4.3.
        section: heading above it.
        spec: file name of the specification.
        says: how it begins, on one line.
    """

    id: str
    section: str
    spec: str
    says: str


class Citation(NamedTuple):
    """A place that names a clause: file, relative to the root, and test; the test is empty for the whole file."""

    clause: str
    path: str
    test: str


@dataclass(frozen=True, slots=True)
class Conformance:
    """What the specifications say and what the tests name."""

    clauses: tuple[Clause, ...]
    tests: tuple[Citation, ...]
    model: tuple[Citation, ...]

    def missing(self) -> list[str]:
        """Clauses that neither a test nor a reason speaks of."""
        shown = {citation.clause for citation in self.tests} | UNTESTED.keys()
        return [clause.id for clause in self.clauses if clause.id not in shown]

    def idle_reasons(self) -> list[str]:
        """Reasons for clauses that have a test, or do not exist."""
        untested = {clause.id for clause in self.clauses} - {citation.clause for citation in self.tests}
        return sorted(UNTESTED.keys() - untested)

    def unknown(self) -> list[Citation]:
        """Places that name a clause which does not exist."""
        known = {clause.id for clause in self.clauses}
        return [citation for citation in (*self.tests, *self.model) if citation.clause not in known]


def read_conformance() -> Conformance:
    """Read specifications, tests, scenarios and model."""
    clauses = [clause for name in SPECS for clause in clauses_of(name, _text(ROOT / "specs" / name))]
    tests = [citation for path in _files("tests", "*.py") for citation in python_citations(_name(path), _text(path))]
    for path in _files("tests/simulation", "*.scenario"):
        tests += [Citation(clause, _name(path), "") for clause in named(scenario_comments(_text(path)))]
    model = [
        Citation(clause, _name(path), "")
        for path in _files("specs/model", "*.pml")
        for clause in named("\n".join(_PML_COMMENT.findall(_text(path))))
    ]
    return Conformance(tuple(clauses), tuple(tests), tuple(model))


def clauses_of(spec: str, text: str) -> Iterator[Clause]:
    """The clauses of a specification, in their order."""
    headings = [(match.start(), match[1]) for match in _SECTION.finditer(text)]
    found = list(_CLAUSE.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    for match, end in zip(found, ends, strict=True):
        section = [heading for start, heading in headings if start < match.start()][-1]
        says = " ".join(re.split(r"\n\s*\n|\n#", text[match.end() : end])[0].split()).removesuffix(" -")
        yield Clause(match[1], section, spec, says)


def python_citations(path: str, source: str) -> Iterator[Citation]:
    """What a test file names, with the test whose docstring or comment does."""
    tree = ast.parse(source)
    tests = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    spans = [(min([node.lineno, *(mark.lineno for mark in node.decorator_list)]), node) for node in tests]

    def test_at(line: int) -> str:
        return next((node.name for start, node in spans if start <= line <= (node.end_lineno or start)), "")

    texts = [*_docstrings(tree), *_comments(source)]
    for clause, test in sorted({(clause, test_at(line)) for line, text in texts for clause in named(text)}):
        yield Citation(clause, path, test)


def _docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
            yield node.body[0].lineno, text


def _comments(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def scenario_comments(text: str) -> str:
    """The comment lines of a scenario file."""
    return "\n".join(line for line in text.splitlines() if line.startswith("#"))


def named(text: str) -> list[str]:
    """The clauses that a text names, ranges spelled out, each once."""
    found: set[str] = set()
    for first, last in _NAMED.findall(text):
        section, _, low = first.rpartition(".")
        end_section, _, high = last.rpartition(".")
        if last and section and section == end_section:
            found |= {f"{section}.{number}" for number in range(int(low), int(high) + 1)}
        else:
            found |= {first, last} - {""}
    return sorted(found, key=_order)


def page(conformance: Conformance) -> str:
    """The text of specs/conformance.md."""
    lines = _INTRODUCTION.splitlines()
    section = ""
    for clause in conformance.clauses:
        if section != f"{clause.spec} {clause.section}":
            section = f"{clause.spec} {clause.section}"
            lines += ["", f"## {clause.spec.removesuffix('.md')}, {clause.section}", "", *_TABLE_HEAD]
        lines.append(f"| **{clause.id}** | {_shortened(clause.says)} | {_shown_by(clause.id, conformance)} |")
    lines += ["", "## Without a test", ""]
    lines += [f"- **{clause}**: {UNTESTED[clause]}." for clause in sorted(UNTESTED, key=_order)]
    return "\n".join(lines) + "\n"


_INTRODUCTION: Final = """\
# Conformance

Which test shows which clause of [protocol-v1](protocol-v1.md) and [storage-v1](storage-v1.md), and which part of the
[model](model) checks it. Written by `python -m tests.conformance --rewrite` from what docstrings and comments of tests
and scenarios name; a test fails when it is stale, or when a clause has neither a test nor a reason.
"""
_TABLE_HEAD: Final = ("| clause | begins | shown by |", "|---|---|---|")


def _shown_by(clause: str, conformance: Conformance) -> str:
    files: dict[str, list[str]] = {}
    for citation in sorted((*conformance.tests, *conformance.model)):
        if citation.clause == clause:
            files.setdefault(citation.path, []).append(citation.test)
    return "<br>".join(_file_link(path, tests) for path, tests in files.items())


def _file_link(path: str, tests: Iterable[str]) -> str:
    text = path.removeprefix("tests/").removeprefix("specs/").removesuffix(".py")
    link = f"[{text}](../{path})"
    names = ", ".join(f"`{test.removeprefix('test_')}`" for test in tests if test)
    return f"{link}: {names}" if names else link


def _shortened(says: str) -> str:
    text = says.replace("|", "\\|")
    if len(text) <= _SAYS_CHARS:
        return text
    return text[:_SAYS_CHARS].rsplit(" ", 1)[0].rstrip(",;:") + " ..."


def _order(clause: str) -> tuple[str, int, int]:
    major, _, minor = clause[1:].partition(".")
    return clause[0], int(major), int(minor or 0)


def _files(folder: str, pattern: str) -> list[Path]:
    return sorted((ROOT / folder).rglob(pattern))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def main(arguments: list[str]) -> int:
    """Write the page, or compare it: 0 when it is as it should be and every clause has a test or a reason."""
    conformance = read_conformance()
    text = page(conformance)
    if "--rewrite" in arguments:
        PAGE.write_text(text, encoding="utf-8")
    problems = [f"{clause} has no test" for clause in conformance.missing()]
    problems += [f"{clause} has a reason to have no test, and has one" for clause in conformance.idle_reasons()]
    problems += [f"{cited.path} names {cited.clause}, which is not there" for cited in conformance.unknown()]
    if not PAGE.exists() or _text(PAGE) != text:
        problems.append("specs/conformance.md is stale: run `python -m tests.conformance --rewrite`")
    sys.stdout.write("".join(f"{problem}\n" for problem in problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
