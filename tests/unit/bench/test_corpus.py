"""The generated history: always the same, and of the shape of a recorded one."""

from __future__ import annotations

import json
from collections import Counter
from statistics import mean, median

from hcom_replica.bench.corpus import generated

COUNT = 4_000


def test_generated_corpus_with_the_same_seed_is_the_same() -> None:
    assert generated(200, seed=3).lines == generated(200, seed=3).lines
    assert generated(200, seed=3).lines != generated(200, seed=4).lines


def test_generated_corpus_has_the_mix_and_sizes_of_a_recorded_one() -> None:
    corpus = generated(COUNT)
    kinds = Counter(draft.kind for draft in corpus.drafts)
    messages = [len(draft.body) for draft in corpus.drafts if draft.kind == "message"]
    assert 0.78 < kinds["status"] / COUNT < 0.88
    assert 0.12 < kinds["message"] / COUNT < 0.18
    assert 0.01 < kinds["life"] / COUNT < 0.03
    assert 150 < median(messages) < 350 < mean(messages)
    assert 170 < corpus.json_bytes / COUNT < 240


def test_drafts_say_what_their_lines_say() -> None:
    corpus = generated(300)
    for line, draft in zip(corpus.lines, corpus.drafts, strict=True):
        said = json.loads(line)
        assert (draft.kind, draft.agent, json.loads(draft.body)) == (said["kind"], said["agent"], said["data"])
        assert draft.time is not None
        assert b": " not in draft.body.split(b'"text"')[0]


def test_take_of_more_than_there_is_begins_again() -> None:
    corpus = generated(3)
    assert corpus.take(5) == [*corpus.drafts, *corpus.drafts[:2]]
