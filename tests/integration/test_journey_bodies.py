"""What events may carry: any size up to a mebibyte and more, any script, any JSON, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hcom_replica.testing.real.brokers import PrivateBroker
from tests.harness.corpus import noise, write_lines
from tests.harness.group import Group, assert_equal_histories

pytestmark = pytest.mark.slow
KIB = 1024
TEXTS = [
    "Grüße, naïve Œuvre",
    "статус: готово",
    "日本語のテキスト、中文文本，한국어",  # noqa: RUF001 - the comma is meant
    "שלום عالم",
    "नमस्ते สวัสดี ආයුබෝවන්",
    "👩🏽‍💻🏳️‍🌈 e\u0301 \u202edlrow",
    "\u0000 \u001b[31m \\ \" ' \n\t \u2028 \uffff",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 \U0010fffd",  # noqa: RUF001 - so are the letters
]


def test_bodies_of_all_sizes_arrive_live_and_by_mailbox(tmp_path: Path, own_broker: PrivateBroker) -> None:
    bodies = [7, noise(1, 45 * KIB)[0][: 60 * KIB], noise(1, 786 * KIB)[0][: 1024 * KIB], "x" * 1024 * KIB, 8]
    lines = write_lines(tmp_path / "bodies.jsonl", bodies)
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        a.wait_for_status(lambda status: bool(status.devices), "B is known")
        a.write(lines)
        b.wait_for_events(len(bodies))
        b.stop()
        assert a.cli.json("import", str(lines), "--again")["imported_events"] == len(bodies)
        assert a.cli.json("flush")["safe_in"] == "broker"
        a.stop()
        b.start()
        b.wait_for_events(2 * len(bodies))
        assert [event["data"] for event in b.events()] == bodies * 2
        assert_equal_histories([a, b], 2 * len(bodies))


def test_names_and_texts_in_any_script_arrive_as_they_were_written(tmp_path: Path, own_broker: PrivateBroker) -> None:
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        path = tmp_path / "texts.jsonl"
        rows = [{"kind": text[:8], "agent": text[:20], "data": {text: [text]}} for text in TEXTS]
        path.write_text(
            "".join(json.dumps(row, ensure_ascii=number % 2 == 0) + "\n" for number, row in enumerate(rows))
        )
        a.write(path)
        a.cli.ok("emit", TEXTS[1], "--agent", TEXTS[2], "--data", json.dumps(TEXTS[3], ensure_ascii=False))
        b.wait_for_events(len(rows) + 1)
        shown = [{key: event[key] for key in ("kind", "agent", "data")} for event in b.events()]
        assert shown == [*rows, {"kind": TEXTS[1], "agent": TEXTS[2], "data": TEXTS[3]}]
        assert_equal_histories([a, b], len(rows) + 1)
        people = b.cli.ok("events")
        assert "\x1b" not in people
        assert TEXTS[2] in people
        assert b.cli.json_lines("events", "--agent", f"{TEXTS[2]}:{a.name}")[-1]["data"] == TEXTS[3]


def test_emit_of_what_is_not_json_says_so_and_changes_nothing(tmp_path: Path, own_broker: PrivateBroker) -> None:
    with Group(tmp_path, own_broker) as group:
        a = group.add("BOXA")
        for body in ("hello", "{'a': 1}", "[1,]", "NaN", '{"a": 1} 2', ""):
            done = a.cli.run("emit", "k", "--data", body)
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr.startswith("error[usage]: ")
            assert "JSON" in done.stderr
            assert "hint: " in done.stderr
        assert a.count() == 0
