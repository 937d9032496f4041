"""specs/conformance.md says which test shows which clause, and is right."""

from __future__ import annotations

from textwrap import dedent

import pytest

from tests.conformance import (
    PAGE,
    Citation,
    Clause,
    Conformance,
    clauses_of,
    named,
    page,
    python_citations,
    read_conformance,
    scenario_comments,
)


@pytest.fixture(scope="module")
def conformance() -> Conformance:
    return read_conformance()


def test_page_is_what_specifications_and_tests_say(conformance: Conformance) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(conformance), (
        "specs/conformance.md is stale: run `python -m tests.conformance --rewrite`"
    )


def test_clauses_have_each_a_test_or_a_reason_to_have_none(conformance: Conformance) -> None:
    assert conformance.missing() == [], "name these clauses in the docstring of the test that shows them"


def test_reasons_are_of_clauses_that_have_no_test(conformance: Conformance) -> None:
    assert conformance.idle_reasons() == []


def test_places_that_name_a_clause_name_one_that_exists(conformance: Conformance) -> None:
    assert conformance.unknown() == []


def test_clauses_have_each_an_id_of_their_own(conformance: Conformance) -> None:
    ids = [clause.id for clause in conformance.clauses]
    assert len(ids) == len(set(ids))


# --- how they are found -------------------------------------------------------------------------------------------


def test_clauses_are_found_with_their_section_and_first_words() -> None:
    text = "## 1. One\n\n- **P1.1** It\n  MUST.\n- **P1.2** It may.\n\n"
    text += "## 2. Two\n\nSafety. **S1** never. **S2** not\nonce.\n"
    assert list(clauses_of("p.md", text)) == [
        Clause("P1.1", "1. One", "p.md", "It MUST."),
        Clause("P1.2", "1. One", "p.md", "It may."),
        Clause("S1", "2. Two", "p.md", "never."),
        Clause("S2", "2. Two", "p.md", "not once."),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("P4.3: so", ["P4.3"]),
        ("(P4.9, P4.10; S1)", ["P4.9", "P4.10", "S1"]),
        ("P4.3 to P4.5", ["P4.3", "P4.4", "P4.5"]),
        ("P4.3 to T4.5", ["P4.3", "T4.5"]),
        ("noqa: S311, T201, PLR2004, section P4, HLC1.2, P4.3.1, P0.1", []),
    ],
)
def test_names_of_clauses_are_told_from_other_words(text: str, found: list[str]) -> None:
    assert named(text) == found


def test_citations_belong_to_the_test_whose_docstring_or_comment_they_stand_in() -> None:
    source = dedent('''
        """Of P1.1."""

        def helper():
            """P1.2"""

        # P1.3
        @mark  # P1.4
        def test_one():
            """P1.5"""
            call("P1.6")  # P1.7

        def test_two():
            pass
    ''')
    assert list(python_citations("t.py", source)) == [
        Citation("P1.1", "t.py", ""),
        Citation("P1.2", "t.py", ""),
        Citation("P1.3", "t.py", ""),
        Citation("P1.4", "t.py", "test_one"),
        Citation("P1.5", "t.py", "test_one"),
        Citation("P1.7", "t.py", "test_one"),
    ]


def test_scenarios_name_clauses_in_comments_only() -> None:
    assert scenario_comments("# P1.1\nappend P1.2 3\n> P1.3\n# S1\n") == "# P1.1\n# S1"


def test_what_is_missing_or_not_there_is_named() -> None:
    clauses = (Clause("P1.1", "1", "p.md", "a"), Clause("P1.2", "1", "p.md", "b"), Clause("T4.2", "1", "s.md", "c"))
    model = Citation("P1.1", "m.pml", "")
    found = Conformance(clauses, (Citation("P1.2", "t.py", "test_x"), Citation("P1.9", "t.py", "")), (model,))
    assert found.missing() == ["P1.1"], "a model alone is no test of the program"
    assert found.unknown() == [Citation("P1.9", "t.py", "")]
    assert "| **P1.2** | b | [t](../t.py): `x` |" in page(found)
    assert "| **P1.1** | a | [m.pml](../m.pml) |" in page(found)
