"""`export` and `import-bundle`: events carried by hand between devices of a group.

P14.4 and P14.5 are shown by the whole file.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from hcom_replica import Replica
from hcom_replica.api.bundles import export_bundle, import_bundle
from hcom_replica.core.packer import as_batch
from hcom_replica.errors import BundleError
from hcom_replica.folder import keys
from hcom_replica.testing.real.processes import Cli
from hcom_replica.wire.batch import decode_batch, encode_batch
from hcom_replica.wire.bundle import HEAD_BYTES, LENGTH_BYTES, BundleHead, Manifest, Sealer, read_head
from hcom_replica.wire.frame import Packed, unpack
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.seal import unseal
from hcom_replica.wire.signing import DeviceKey
from hcom_replica.wire.token import JoinToken
from tests.harness.folders import device_folder, new_token
from tests.unit.core.builders import Device, draft

EVENTS = 700


@pytest.fixture(scope="module")
def token() -> JoinToken:
    return new_token("mqtt://127.0.0.1:1")


@pytest.fixture(scope="module")
def boxe(tmp_path_factory: pytest.TempPathFactory, token: JoinToken) -> Cli:
    """A device with events, only to be read and exported."""
    cli = Cli(device_folder(tmp_path_factory.mktemp("bundles") / "boxe", token).root)
    with Replica.open(cli.folder) as replica:
        replica.append_many(("note", {"n": number}, "luna") for number in range(EVENTS))
    return cli


@pytest.fixture
def tuka(tmp_path: Path, token: JoinToken) -> Cli:
    """A device of the same group that has two events of its own."""
    cli = Cli(device_folder(tmp_path / "tuka", token).root)
    with Replica.open(cli.folder) as replica:
        replica.append_many([("note", "mine", "rose"), ("note", "too", "rose")])
    return cli


@pytest.fixture(scope="module")
def bundle(boxe: Cli) -> Path:
    path = boxe.folder.parent / "boxe.bundle"
    boxe.ok("export", str(path))
    return path


def history(cli: Cli) -> str:
    return cli.ok("replay", "--format", "jsonl", "--system")


def test_bundle_carries_everything_and_twice_changes_nothing(boxe: Cli, tuka: Cli, bundle: Path) -> None:
    taken = tuka.json("import-bundle", str(bundle))
    assert (taken["stored_events"], taken["held_events"]) == (EVENTS + 1, 0)
    assert (taken["device"], taken["forks"], taken["not_placed"]) == ("BOXE", [], [])
    own = {line for line in history(tuka).splitlines() if '"device":"TUKA"' in line}
    assert set(history(tuka).splitlines()) - own == set(history(boxe).splitlines())
    before = history(tuka)
    taken = tuka.json("import-bundle", str(bundle))
    assert (taken["stored_events"], taken["held_events"]) == (0, EVENTS + 1)
    assert history(tuka) == before


def test_bundles_both_ways_make_two_devices_equal(tuka: Cli, token: JoinToken, tmp_path: Path) -> None:
    rose = Cli(device_folder(tmp_path / "rose", token).root)
    rose.ok("emit", "note", "--data", "1")
    tuka.ok("export", str(tmp_path / "tuka.bundle"))
    text = rose.ok("import-bundle", str(tmp_path / "tuka.bundle"))
    assert text.startswith("stored 3 events, 0 were here already\nmade by TUKA, 20")
    rose.ok("export", str(tmp_path / "rose.bundle"))
    tuka.ok("import-bundle", str(tmp_path / "rose.bundle"))
    assert history(rose) == history(tuka)


def test_late_arrivals_are_marked_where_they_came_late_only(tuka: Cli, boxe: Cli, bundle: Path) -> None:
    tuka.ok("import-bundle", str(bundle))
    told = tuka.ok("replay").splitlines()
    late = [line for line in told if "[late by " in line]
    assert len(late) == EVENTS
    assert all("luna:BOXE" in line for line in late)
    assert any("  rose  " in line for line in told)
    assert "late" not in boxe.ok("replay")


def test_bundle_is_private_and_holds_no_secret(boxe: Cli, bundle: Path, token: JoinToken) -> None:
    """P14.6"""
    assert stat.S_IMODE(bundle.stat().st_mode) == 0o600
    seed = (boxe.folder / "device.key").read_bytes()
    data, plain = bundle.read_bytes(), plaintexts(bundle, token.keys)
    assert b'"n":699' in plain
    for secret in (seed, token.keys.secret, token.keys.seal, token.encode().encode()):
        assert secret not in data
        assert secret not in plain
    assert b'"n":699' not in data


def plaintexts(path: Path, group: GroupKeys) -> bytes:
    """The payloads of all frames of a bundle, unsealed and inflated."""
    data, found = path.read_bytes(), list[bytes]()
    head, at = read_head(BytesIO(data).read), HEAD_BYTES
    while at < len(data):
        size = int.from_bytes(data[at : at + LENGTH_BYTES], "big")
        place = f"bundle/{head.id.hex()}/{len(found)}"
        plain = unseal(group, place, data[at + LENGTH_BYTES : at + LENGTH_BYTES + size])
        found.append(unpack(Packed(plain[1], plain[2:])))
        at += LENGTH_BYTES + size
    return b"".join(found)


def cut(data: bytes) -> bytes:
    return data[:-20]


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def without_end(data: bytes) -> bytes:
    at, last = HEAD_BYTES, 0
    while at < len(data):
        last, at = at, at + LENGTH_BYTES + int.from_bytes(data[at : at + LENGTH_BYTES], "big")
    return data[:last]


def longer(data: bytes) -> bytes:
    return data + b"\x00"


def flipped(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


def foreign(data: bytes) -> bytes:
    return data[:8] + bytes(16) + data[24:]


def newer(data: bytes) -> bytes:
    return data[:7] + b"\x02" + data[8:]


def other_epoch(data: bytes) -> bytes:
    return data[:28] + bytes(16) + data[44:]


def huge(data: bytes) -> bytes:
    return data[:HEAD_BYTES] + b"\xff\xff\xff\xff" + data[HEAD_BYTES:]


def nothing(data: bytes) -> bytes:
    return data[:0]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, "cut: it ends in frame 2"),
        (half, "cut: it ends in frame 1"),
        (without_end, "cut: it ends in frame 2"),
        (longer, "goes on behind its end"),
        (flipped, "damaged or forged, in frame 1"),
        (foreign, "belongs to group 00000000"),
        (newer, "newer version"),
        (other_epoch, "key epoch 1, which this device does not know"),
        (huge, "larger than any can be"),
        (nothing, "no bundle"),
        (lambda data: b"PK" + data, "no bundle"),
    ],
)
def test_bundle_that_is_not_whole_is_refused_whole(
    tuka: Cli, bundle: Path, tmp_path: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    (tmp_path / "bad").write_bytes(damage(bundle.read_bytes()))
    before = history(tuka)
    done = tuka.run("import-bundle", str(tmp_path / "bad"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error[bundle]: ")
    assert said in done.stderr
    assert history(tuka) == before


def forged(token: JoinToken, *batches: bytes, signer: DeviceKey | None = None) -> bytes:
    """A bundle that a member makes who seals whatever it likes."""
    member = DeviceKey(bytes(range(32)))
    head = BundleHead(token.keys.group, 1, token.keys.check, bytes(16))
    sealer = Sealer(token.keys, head)
    data = head.encode() + sealer.manifest(Manifest(member.public, bytes(12), 0, "EVIL"), os.urandom(24))
    events = 0
    for batch in batches:
        data += sealer.batch(batch, os.urandom(24))
        events += len(decode_batch(batch).records)
    return data + sealer.end(signer or member, events, os.urandom(24))


def test_batch_of_another_group_that_a_member_sealed_is_refused(tuka: Cli, token: JoinToken, tmp_path: Path) -> None:
    stranger = Device("NOVA")
    stranger.append(draft())
    (tmp_path / "bad").write_bytes(forged(token, encode_batch(stranger.batch())))
    before = history(tuka)
    done = tuka.run("import-bundle", str(tmp_path / "bad"))
    assert done.returncode == 2
    assert "damaged or forged, in frame 1 (hello" in done.stderr
    assert history(tuka) == before


def test_bundle_without_events_signed_by_another_than_it_names_is_refused(
    tuka: Cli, token: JoinToken, tmp_path: Path
) -> None:
    (tmp_path / "good").write_bytes(forged(token))
    assert tuka.json("import-bundle", str(tmp_path / "good"))["stored_events"] == 0
    (tmp_path / "bad").write_bytes(forged(token, signer=DeviceKey(bytes(32))))
    assert "damaged or forged, in frame 1 (signature" in tuka.run("import-bundle", str(tmp_path / "bad")).stderr


@pytest.mark.parametrize(
    ("numbers", "said"), [((0, 2), "order"), ((1,), "hello"), ((1, 0), "hello"), ((0, 0), "order")]
)
def test_batches_that_do_not_join_each_other_are_refused(
    boxe: Cli, tuka: Cli, token: JoinToken, tmp_path: Path, numbers: tuple[int, ...], said: str
) -> None:
    batches: list[bytes] = []
    with Replica.open(boxe.folder) as replica:
        own = replica.log.own_origin()
        assert own is not None
        seq = 0
        while seq < own.seq:
            run = replica.log.read_run(own.id, seq + 1, 1)
            assert run is not None
            batches.append(as_batch(own, run))
            seq = run.last
    assert len(batches) > 2
    (tmp_path / "bad").write_bytes(forged(token, *(batches[number] for number in numbers)))
    before = history(tuka)
    done = tuka.run("import-bundle", str(tmp_path / "bad"))
    assert done.returncode == 2
    assert f"damaged or forged, in frame {len(numbers)} ({said}" in done.stderr or said == "hello"
    assert said in done.stderr
    assert history(tuka) == before
    (tmp_path / "part").write_bytes(forged(token, batches[0]))
    tuka.ok("import-bundle", str(tmp_path / "part"))
    (tmp_path / "bad").write_bytes(forged(token, batches[2]))
    assert "something is missing before it" in tuka.run("import-bundle", str(tmp_path / "bad")).stderr
    (tmp_path / "rest").write_bytes(forged(token, *batches[1:]))
    assert tuka.json("import-bundle", str(tmp_path / "rest"))["stored_events"] > 0


def test_import_that_dies_in_the_middle_goes_on(
    tuka: Cli, boxe: Cli, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCut(Exception):
        """Stands for the machine stopping right here."""

    monkeypatch.setattr("hcom_replica.api.bundles._STAGED_BYTES", 1)
    with Replica.open(tuka.folder) as replica, bundle.open("rb") as file:
        done = 0

        def cut_short(what: str, _at: int, _size: int) -> None:
            nonlocal done
            done += what == "storing"
            if done == 1:
                raise PowerCut

        with pytest.raises(PowerCut):
            import_bundle(replica, file, progress=cut_short)
        assert import_bundle(replica, file).stored_events + import_bundle(replica, file).held_events >= EVENTS + 1
    assert set(history(boxe).splitlines()) <= set(history(tuka).splitlines())


def test_backup_brings_a_lost_disk_back_and_the_old_log_is_written_no_further(token: JoinToken, tmp_path: Path) -> None:
    """A folder restored from an older copy takes its own newer events from a bundle, and opens a new incarnation."""
    folder = device_folder(tmp_path / "boxe", token)
    cli = Cli(folder.root)
    cli.ok("emit", "note", "--data", "1")
    shutil.copytree(folder.root, tmp_path / "old")
    cli.ok("emit", "note", "--data", "2")
    cli.ok("export", str(tmp_path / "b"))
    shutil.rmtree(folder.root)
    (tmp_path / "old").rename(folder.root)
    taken = cli.json("import-bundle", str(tmp_path / "b"))
    assert taken["stored_events"] == 1
    assert taken["incarnation"] is not None
    assert [json.loads(line)["data"] for line in cli.ok("replay", "--format", "jsonl").splitlines()] == [1, 2]
    origin = cli.json("emit", "note", "--data", "3")["origin"]
    assert origin == taken["incarnation"]


def test_bundle_of_a_revoked_device_is_refused_and_what_it_wrote_after_is_left_out(tmp_path: Path) -> None:
    """P12.11"""
    boxe, tuka, rose = founded(tmp_path, "boxe", "tuka", "rose")
    for number in range(3):
        tuka.ok("emit", "note", "--data", str(number))
    rose.ok("emit", "note", "--data", '"rose"')
    tuka.ok("export", str(tmp_path / "t1"))
    boxe.ok("import-bundle", str(tmp_path / "t1"))
    boxe.ok("relay", "revoke", "TUKA")
    tuka.ok("emit", "note", "--data", '"after"')
    tuka.ok("export", str(tmp_path / "t2"))
    rose.ok("import-bundle", str(tmp_path / "t2"))
    done = boxe.run("import-bundle", str(tmp_path / "t2"))
    assert done.returncode == 2
    assert "made by TUKA, which is revoked" in done.stderr
    rose.ok("export", str(tmp_path / "r"))
    taken = boxe.json("import-bundle", str(tmp_path / "r"))
    assert taken["left_out_events"] == 5
    assert '"rose"' in history(boxe)
    assert '"after"' not in history(boxe)


def test_bundle_of_a_newer_epoch_opens_for_who_was_away_and_not_for_who_was_revoked(tmp_path: Path) -> None:
    """P14.7"""
    boxe, tuka, rose = founded(tmp_path, "boxe", "tuka", "rose")
    for cli in (tuka, rose):
        cli.ok("emit", "note", "--data", f'"{cli.folder.name}"')
        cli.ok("export", str(tmp_path / cli.folder.name) + ".b")
        boxe.ok("import-bundle", str(tmp_path / cli.folder.name) + ".b")
    boxe.ok("relay", "revoke", "TUKA")
    boxe.ok("emit", "note", "--data", '"a secret from tuka"')
    boxe.ok("export", str(tmp_path / "b"))
    done = tuka.run("import-bundle", str(tmp_path / "b"))
    assert done.returncode == 2
    assert "key epoch 2, which this device does not know, and is revoked" in done.stderr
    assert rose.json("import-bundle", str(tmp_path / "b"))["stored_events"] > 2
    assert "a secret from tuka" in history(rose)
    rose.ok("export", str(tmp_path / "r"))
    boxe.ok("import-bundle", str(tmp_path / "r"))
    assert history(boxe) == history(rose)
    assert tuka.run("import-bundle", str(tmp_path / "r")).returncode == 2


def founded(folder: Path, *names: str) -> list[Cli]:
    """Devices of a group that the first of them founded."""
    clis = []
    founder: bytes | None = None
    token = new_token("mqtt://127.0.0.1:1")
    for name in names:
        made = device_folder(folder / name, token)
        founder = founder or keys.device_key(made).public
        keys.set_group(made, JoinToken(token.keys, token.brokers, founder))
        clis.append(Cli(made.root))
    return clis


def test_bundle_is_taken_from_a_pipe_too(tuka: Cli, bundle: Path) -> None:
    command = [*tuka._command(("import-bundle", "-", "--json"))]
    for data, code in ((bundle.read_bytes(), 0), (bundle.read_bytes()[:-9], 2)):
        ran = subprocess.run(command, env=tuka._environment, input=data, capture_output=True, check=False)
        assert ran.returncode == code, ran.stderr
    assert len(history(tuka).splitlines()) == EVENTS + 1 + 3


def test_export_replaces_no_file_unasked(boxe: Cli, bundle: Path) -> None:
    before = bundle.read_bytes()
    done = boxe.run("export", str(bundle))
    assert done.returncode == 2
    assert "--force" in done.stderr
    assert bundle.read_bytes() == before


def test_redacted_event_travels_without_its_body(token: JoinToken, tmp_path: Path) -> None:
    first, second = (Cli(device_folder(tmp_path / name, token).root) for name in ("boxe", "tuka"))
    name = first.json("emit", "note", "--data", '"a secret"')["id"]
    first.ok("export", str(tmp_path / "before"))
    second.ok("import-bundle", str(tmp_path / "before"))
    first.ok("redact", "--yes", name)
    first.ok("export", str(tmp_path / "after"))
    assert b"a secret" not in plaintexts(tmp_path / "after", token.keys)
    second.ok("import-bundle", str(tmp_path / "after"))
    assert "a secret" not in history(second)
    second.ok("import-bundle", str(tmp_path / "before"))
    assert "a secret" not in history(second)
    assert history(second) == history(first)


def test_bundle_in_python_is_the_same(boxe: Cli, tuka: Cli, tmp_path: Path) -> None:
    with Replica.open(boxe.folder) as replica:
        made = export_bundle(replica, tmp_path / "b")
    assert made.events == EVENTS + 1
    assert made.size_bytes == (tmp_path / "b").stat().st_size
    with Replica.open(tuka.folder) as replica, (tmp_path / "b").open("rb") as file:
        assert import_bundle(replica, file).stored_events == EVENTS + 1
    (tmp_path / "c").write_bytes(b"x")
    with Replica.open(tuka.folder) as replica, (tmp_path / "c").open("rb") as file, pytest.raises(BundleError):
        import_bundle(replica, file)
