"""The frozen bytes of specs/vectors, read as another program would read them: by the words of the specs alone.

If one of these fails, do not change the vector: devices and folders of the version before speak it.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt, crypto_sign_open
from nacl.public import Box, PublicKey
from nacl.signing import SigningKey, VerifyKey

from hcom_replica.core.origin import fresh_origin
from hcom_replica.core.parts import Assembler
from hcom_replica.core.verify import verify_batch
from hcom_replica.errors import ProtocolError, TokenError
from hcom_replica.ids import OriginId
from hcom_replica.wire.batch import Descriptor, decode_batch, encode_batch
from hcom_replica.wire.bundle import HEAD_BYTES, LENGTH_BYTES, Opener, read_head
from hcom_replica.wire.codec import decoder, encode
from hcom_replica.wire.epoch import (
    Certificate,
    decode_notice,
    decode_record,
    encode_notice,
    is_certified,
    open_record,
)
from hcom_replica.wire.event import Draft, RedactedEvent, check_event, decode_event, encode_event
from hcom_replica.wire.frame import Kind, Packed, Signer, close_frame, open_frame, unpack
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.messages import (
    decode_ask,
    decode_fill,
    decode_fill_part,
    decode_gone,
    decode_head,
    decode_index,
    decode_part,
    decode_presence,
    decode_rekey,
    decode_standing,
    decode_vector,
    decode_want,
)
from hcom_replica.wire.names import name_of, suffix_of
from hcom_replica.wire.redaction import stated_redaction
from hcom_replica.wire.seal import seal, unseal
from hcom_replica.wire.signing import DeviceKey, device_id, origin_hash, short
from hcom_replica.wire.token import JoinToken, decode_token
from hcom_replica.wire.topics import Topics
from tests.vectors import FILES, FOLDER, text_of

Json = dict[str, Any]
NONCE = bytes(range(24))
SEED = bytes(range(100, 132))


def load(name: str) -> Json:
    loaded: Json = json.loads((FOLDER / f"{name}.json").read_text(encoding="ascii"))
    return loaded


def cases(name: str, part: str) -> list[Any]:
    return [pytest.param(case, id=str(case.get("what", case.get("name", number))))
            for number, case in enumerate(load(name)[part])]  # fmt: skip


def h(*parts: bytes) -> bytes:
    """H of the specs, by the standard library."""
    return blake2b(b"".join(parts), digest_size=32).digest()


def u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


def keys_of(case: Json, epoch: int = 1) -> GroupKeys:
    return GroupKeys(unhex(case["group"]), unhex(case["secret"]), epoch)


@pytest.mark.parametrize("name", FILES)
def test_vector_file_is_what_this_program_makes(name: str) -> None:
    stored = (FOLDER / f"{name}.json").read_text(encoding="ascii")
    assert stored == text_of(name), (
        f"specs/vectors/{name}.json and this program differ: devices of the version before could not talk to this one, "
        "or folders of it could not be opened. Make the change an addition; only a new vector is written with "
        "`python -m tests.vectors --rewrite`"
    )


def test_vector_folder_holds_nothing_else() -> None:
    assert {path.name for path in Path(FOLDER).iterdir()} == {"README.md", *(f"{name}.json" for name in FILES)}


# --- events (section 3) --------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("events", "valid"))
def test_event_encodes_to_its_record_and_back(case: Json) -> None:
    """P3.1"""
    record, body = unhex(case["record"]), unhex(case["body"])
    assert encode_event(case["hlc"], Draft(case["kind"], case["agent"], case["time"], body)) == record, (
        "events would get other hashes than the same events have on devices of the version before"
    )
    event = decode_event(record)
    check_event(event, record)
    assert (event.hlc, event.kind, event.agent, event.time, event.body) == (
        case["hlc"], case["kind"], case["agent"], case["time"], body,
    )  # fmt: skip
    assert record[case["header_bytes"] :] == body
    assert msgspec.msgpack.decode(record) == [case["hlc"], case["kind"], case["agent"], case["time"], body]


@pytest.mark.parametrize("case", cases("events", "invalid"))
def test_event_against_the_rules_is_refused(case: Json) -> None:
    """P3.1"""
    record = unhex(case["data"])
    with pytest.raises(ProtocolError) as error:
        check_event(decode_event(record), record)
    assert error.value.reason in (case["reason"], "format")


def test_order_keys_sort_by_hlc_then_origin() -> None:
    """P3.2"""
    keys = [unhex(key) for key in load("events")["order"]]
    assert keys == sorted(keys)
    assert [(int.from_bytes(key[:8], "big"), key[8:]) for key in keys] == sorted(
        (int.from_bytes(key[:8], "big"), key[8:]) for key in keys
    )


# --- chain, commits, origins (sections 2, 4) -------------------------------------------------------------------


def test_chain_and_commits_follow_from_the_words_of_the_spec() -> None:
    """P2.3, P2.6, P4.1, P4.2: computed here without the package."""
    case = load("chain")
    key = unhex(case["key"])
    c = h(b"hcr1 origin\x00", unhex(case["group"]), key, unhex(case["incarnation"]))
    assert c.hex() == case["c0"]
    assert DeviceKey(unhex(case["seed"])).public == key
    c0, cum, commits = c, 0, {commit["seq"]: commit for commit in case["commits"]}
    for event in case["events"]:
        record = unhex(event["record"])
        hlc, _, _, _, body = msgspec.msgpack.decode(record)
        c, cum = h(c, record[: len(record) - len(body)], h(body)), cum + len(record)
        assert (hlc, c.hex()) == (event["hlc"], event["c"])
        commit = commits.pop(event["seq"], None)
        if commit is None:
            continue
        digest = h(c0, u64(event["seq"]), u64(hlc), u64(cum), c)
        assert (digest.hex(), commit["c"], commit["cumulative_bytes"]) == (commit["digest"], c.hex(), cum)
        signed = crypto_sign_open(unhex(commit["signature"]) + b"hcr1 commit\x00" + digest, key)
        assert signed == b"hcr1 commit\x00" + digest
    assert not commits


@pytest.mark.parametrize("case", cases("origins", "valid"))
def test_descriptor_gives_hash_and_id(case: Json) -> None:
    """P2.3 to P2.5"""
    group, key, incarnation = unhex(load("origins")["group"]), unhex(case["key"]), unhex(case["incarnation"])
    full = h(b"hcr1 origin\x00", group, key, incarnation)
    for fork in case["forks"]:
        full = h(b"hcr1 fork\x00", full, unhex(fork["link"]))
    assert (full.hex(), full[:8].hex()) == (case["hash"], case["id"])
    descriptor = decoder(Descriptor)(unhex(case["descriptor"]))
    assert encode(descriptor).hex() == case["descriptor"]
    assert origin_hash(group, descriptor) == full
    assert fresh_origin(group, descriptor).base == case["base"]
    device = device_id(key)
    assert (device.hex(), name_of(device), suffix_of(device)) == (case["device"], case["name"], case["suffix"]), (
        "devices would show up under other names"
    )


@pytest.mark.parametrize("case", cases("origins", "invalid"))
def test_descriptor_against_the_rules_is_refused(case: Json) -> None:
    """P2.5"""
    with pytest.raises(ProtocolError):
        decoder(Descriptor)(unhex(case["data"]))


# --- batches (section 4) ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("batches", "valid"))
def test_batch_verifies(case: Json) -> None:
    """P4.3 to P4.6"""
    group, data = unhex(load("batches")["group"]), unhex(case["data"])
    batch = decode_batch(data)
    assert encode_batch(batch) == data
    known = case["known_descriptor"]
    state = fresh_origin(group, decoder(Descriptor)(unhex(known))) if known is not None else None
    run = verify_batch(group, batch, state)
    assert (run.origin.hex(), run.first, run.last) == (case["origin"], case["first"], case["last"])
    assert run.tips[-1].hex() == case["c_last"]


@pytest.mark.parametrize("case", cases("batches", "invalid"))
def test_batch_against_the_rules_is_refused(case: Json) -> None:
    """P4.3 to P4.6, and the reason that is counted (section 9)"""
    with pytest.raises(ProtocolError) as error:
        verify_batch(unhex(load("batches")["group"]), decode_batch(unhex(case["data"])), None)
    assert error.value.reason == case["reason"]


# --- redactions (sections 3, 4) ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("redactions", "valid"))
def test_redacted_record_is_made_of_hash_signature_and_header(case: Json) -> None:
    """P3.8, P3.9, P4.1: the signature is checked here with nothing but these bytes."""
    frozen = load("redactions")
    root = h(b"hcr1 origin\x00", unhex(frozen["group"]), unhex(frozen["key"]), unhex(frozen["incarnation"]))
    record, header, signature = unhex(case["record"]), unhex(case["header"]), unhex(case["signature"])
    body = record[len(header) :]
    assert root == unhex(frozen["c0"])
    assert h(body) == unhex(case["body_hash"])
    signed = b"hcr1 redact\x00" + h(root, u64(case["seq"]), unhex(case["c"]))
    assert crypto_sign_open(signature + signed, unhex(frozen["key"])) == signed
    redacted = unhex(case["redacted"])
    assert redacted == b"\xc1" + len(body).to_bytes(4, "big") + h(body) + signature + header
    event, before = decode_event(redacted), decode_event(record)
    assert isinstance(event, RedactedEvent)
    assert (event.hlc, event.kind, event.agent, event.time) == (before.hlc, before.kind, before.agent, before.time)
    assert (event.body, event.length) == (b"", len(body))


@pytest.mark.parametrize("case", cases("redactions", "batches"))
def test_batch_with_redacted_records_verifies_to_the_same_chain(case: Json) -> None:
    """P3.9, P4.1 to P4.5"""
    data = unhex(case["data"])
    run = verify_batch(unhex(load("redactions")["group"]), decode_batch(data), None)
    assert encode_batch(decode_batch(data)) == data
    assert run.tips[-1].hex() == case["c_last"]
    gone = [seq for seq, record in enumerate(run.records, run.first) if record[:1] == b"\xc1"]
    assert [redaction.seq for redaction in run.redactions] == gone != []


@pytest.mark.parametrize("case", cases("redactions", "invalid"))
def test_redacted_record_against_the_rules_is_refused(case: Json) -> None:
    """P3.9, and the reason that is counted (section 9)"""
    with pytest.raises(ProtocolError) as error:
        verify_batch(unhex(load("redactions")["group"]), decode_batch(unhex(case["data"])), None)
    assert error.value.reason == case["reason"]


def test_statement_of_a_redaction_proves_itself() -> None:
    """P3.8, T2.6"""
    frozen = load("redactions")
    found = stated_redaction(unhex(frozen["group"]), frozen["statement"].encode())
    assert found is not None
    assert found.signature.hex() == frozen["row"]["value"] == frozen["valid"][1]["signature"]
    assert (found.origin + u64(found.seq) + found.tip).hex() == frozen["row"]["key"]


@pytest.mark.parametrize("case", cases("redactions", "statements_that_prove_nothing"))
def test_statement_that_does_not_verify_proves_nothing(case: Json) -> None:
    """P3.8"""
    assert stated_redaction(unhex(load("redactions")["group"]), case["body"].encode()) is None


# --- keys, topics, envelope, messages (sections 5, 6) ------------------------------------------------------------


@pytest.mark.parametrize("case", cases("keys", "epochs"))
def test_keys_follow_from_the_secret(case: Json) -> None:
    """P5.2: computed here without the package."""
    keys = keys_of(case, case["epoch"])
    for label in ("seal", "topic", "leaf"):
        data = b"hcr1 " + label.encode() + b"\x00" + keys.group + case["epoch"].to_bytes(4, "big")
        assert blake2b(data, key=keys.secret, digest_size=32).hexdigest() == case[label] == keys.derive(label).hex(), (
            "devices of one group would not find or understand each other"
        )
    assert keys.prefix == case["prefix"] == case["topic"][:16]


def test_topics_are_where_other_devices_look() -> None:
    """Section 6"""
    case = load("keys")
    epoch, origin = case["epochs"][0], OriginId(unhex(case["origin"]))
    topics, listed = Topics(keys_of(epoch)), case["topics"]
    leaf = blake2b(origin, key=unhex(epoch["leaf"]), digest_size=8).hexdigest()
    place = blake2b(origin + u64(1 << 40), key=unhex(epoch["leaf"]), digest_size=8).hexdigest()
    prefix = epoch["prefix"]
    assert topics.head(origin) == listed["head"] == f"{prefix}/h/{leaf}"
    assert topics.vector(origin, 1) == listed["vector page 1"] == f"{prefix}/v/{leaf}/1"
    assert topics.index(origin) == listed["index"] == f"{prefix}/i/{leaf}"
    assert topics.standing(origin) == listed["standing"] == f"{prefix}/s/{leaf}"
    assert topics.presence(origin) == listed["presence"] == f"{prefix}/p/{leaf}"
    assert (topics.live, topics.want, topics.ask) == (listed["live"], listed["want"], listed["ask"])
    assert topics.fill(origin, 1 << 40) == listed["fill from 1099511627776"] == f"{prefix}/b/{place}"
    assert topics.segment(origin, 31) == listed["segment 31"] == f"{prefix}/m/{leaf}/31"
    assert topics.fence(bytes(range(16))) == listed["fence"]
    assert Topics(keys_of(epoch), "team/x").head(origin) == listed["head under a path"] == f"team/x/{prefix}/h/{leaf}"


def test_envelope_is_sealed_as_the_spec_says() -> None:
    """P5.1"""
    case = load("envelope")
    keys, sealed, topic = keys_of(case), unhex(case["sealed"]), case["topic"]
    assert seal(keys, topic, unhex(case["plain"]), unhex(case["nonce"])) == sealed
    assert unseal(keys, topic, sealed) == unhex(case["plain"])
    assert sealed[0] == 1
    opened = crypto_aead_xchacha20poly1305_ietf_decrypt(
        sealed[25:], unhex(case["associated"]), sealed[1:25], unhex(load("keys")["epochs"][0]["seal"])
    )
    assert opened == unhex(case["plain"])


@pytest.mark.parametrize("case", cases("envelope", "invalid"))
def test_envelope_against_the_rules_is_refused(case: Json) -> None:
    """P5.1"""
    with pytest.raises(ProtocolError) as error:
        unseal(keys_of(load("envelope")), case["topic"], unhex(case["data"]))
    assert error.value.reason == case["reason"]


DECODERS = {
    Kind.HEAD: decode_head,
    Kind.VECTOR: decode_vector,
    Kind.INDEX: decode_index,
    Kind.STANDING: decode_standing,
    Kind.PRESENCE: decode_presence,
    Kind.WANT: decode_want,
    Kind.FILL: decode_fill,
    Kind.FILL_PART: decode_fill_part,
    Kind.SEGMENT_PART: decode_part,
    Kind.ASK: decode_ask,
    Kind.REKEY: decode_rekey,
    Kind.GONE: decode_gone,
}


@pytest.mark.parametrize("case", cases("messages", "valid"))
def test_message_opens_and_is_made_the_same(case: Json) -> None:
    """P5.3, section 6: each kind, sealed"""
    every = load("messages")
    keys, kind, payload, sealed = (
        keys_of(every), Kind(case["kind"]), unhex(case["payload"]), unhex(case["sealed"]),
    )  # fmt: skip
    frame = open_frame(keys, case["topic"], sealed)
    assert (frame.kind, frame.payload) == (kind, payload)
    signer = None
    if case["digest"] is not None:
        name = case["topic"].encode()
        digest = h(bytes((kind, 0)), len(name).to_bytes(2, "big"), name, payload)
        assert digest.hex() == case["digest"]
        assert frame.author is not None
        assert (frame.author.key.hex(), frame.author.incarnation.hex()) == (every["key"], every["incarnation"])
        signer = Signer(DeviceKey(SEED), frame.author.incarnation, short(origin_hash(keys.group, _descriptor(every))))
        assert frame.author.origin == signer.origin
    assert close_frame(keys, case["topic"], kind, signer, Packed(0, payload), NONCE) == sealed, (
        "devices of the version before would drop this message"
    )
    if kind in DECODERS:
        assert encode(DECODERS[kind](payload)) == payload


def _descriptor(every: Json) -> Descriptor:
    return Descriptor(unhex(every["key"]), unhex(every["incarnation"]), ())


def test_messages_have_a_vector_for_every_kind() -> None:
    assert [case["kind"] for case in load("messages")["valid"]] == sorted(Kind)


@pytest.mark.parametrize("case", cases("messages", "invalid"))
def test_message_against_the_rules_is_refused(case: Json) -> None:
    """P5.3, P5.4"""
    with pytest.raises(ProtocolError) as error:
        open_frame(keys_of(load("messages")), case["topic"], unhex(case["data"]))
    assert error.value.reason == case["reason"]


def test_parts_give_the_batch() -> None:
    """P5.5"""
    case = load("parts")
    assembler, batch = Assembler(), unhex(case["batch"])
    assert h(bytes((case["codec"],)), batch)[:16].hex() == case["blob"]
    results = [assembler.add(OriginId(bytes(8)), decode_part(unhex(part))) for part in case["parts"]]
    assert results == [None] * (len(case["parts"]) - 1) + [batch]


# --- epochs --------------------------------------------------------------------------------------------------------


def test_certificate_is_what_the_specification_says() -> None:
    """P12.1"""
    case = load("epochs")
    group, one = unhex(case["group"]), case["certificate"]
    digest = h(group, one["number"].to_bytes(4, "big"), unhex(one["device"]))
    VerifyKey(unhex(case["author"])).verify(b"hcr1 admit\x00" + digest, unhex(one["signature"]))
    certificate = Certificate(unhex(case["author"]), one["number"], unhex(one["device"]), unhex(one["signature"]))
    assert is_certified(group, certificate)
    assert not is_certified(bytes(16), certificate)
    assert not is_certified(group, msgspec.structs.replace(certificate, number=one["number"] + 1))


def test_epoch_record_is_what_the_specification_says() -> None:
    """P12.4, P12.5"""
    case = load("epochs")
    group, one = unhex(case["group"]), case["record"]
    body, signature = msgspec.msgpack.decode(unhex(one["encoded"]))
    VerifyKey(unhex(case["author"])).verify(b"hcr1 epoch\x00" + h(body), signature)
    found, number, author, check, ephemeral, revoked, boxes = msgspec.msgpack.decode(body)
    assert (found, number, author.hex()) == (group, one["number"], case["author"])
    assert (check.hex(), ephemeral.hex()) == (one["check"], one["ephemeral"])
    assert [key.hex() for key in revoked] == one["revoked"]
    data = b"hcr1 check\x00" + group + number.to_bytes(4, "big")
    assert blake2b(data, key=unhex(one["secret"]), digest_size=32).digest()[:16] == check
    assert len(boxes) == 56 * len(one["devices"])
    record = decode_record(group, unhex(one["encoded"]))
    for device in one["devices"]:
        key, signing = unhex(device["key"]), SigningKey(unhex(device["seed"]))
        place = next(at for at in range(0, len(boxes), 56) if boxes[at : at + 8] == h(b"hcr1 device\x00", key)[:8])
        nonce = h(b"hcr1 box", ephemeral, key)[:24]
        opened = Box(signing.to_curve25519_private_key(), PublicKey(ephemeral)).decrypt(
            boxes[place + 8 : place + 56], nonce
        )
        assert opened.hex() == one["secret"]
        assert open_record(group, record, DeviceKey(unhex(device["seed"]))) == GroupKeys(group, opened, number)
    assert open_record(group, record, DeviceKey(bytes(32))) is None


def test_notice_reads_and_is_made_the_same() -> None:
    """P12.13"""
    case = load("epochs")
    notice = decode_notice(unhex(case["group"]), unhex(case["notice"]))
    assert notice.record.encoded.hex() == case["record"]["encoded"]
    assert [one.number for one in notice.certificates] == [1]
    assert encode_notice(notice).hex() == case["notice"]


@pytest.mark.parametrize("case", cases("epochs", "invalid"))
def test_record_that_is_none_is_refused(case: Json) -> None:
    with pytest.raises(ProtocolError) as error:
        decode_record(unhex(load("epochs")["group"]), unhex(case["data"]))
    assert error.value.reason == case["reason"]


# --- tokens --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("tokens", "valid"))
def test_token_reads_and_is_made_the_same(case: Json) -> None:
    token = decode_token(case["token"])
    assert token == JoinToken(keys_of(case, case["epoch"]), tuple(case["brokers"]), unhex(case["founder"]))
    assert token.encode() == "".join(case["token"].split()), "tokens handed out before could not be used any more"
    assert case["secret"] not in repr(token)


@pytest.mark.parametrize("case", cases("tokens", "invalid"))
def test_token_that_is_none_says_what_is_wrong(case: Json) -> None:
    with pytest.raises(TokenError, match=case["says"]) as error:
        decode_token(case["token"])
    assert error.value.hint


# --- bundles -------------------------------------------------------------------------------------------------------


def test_bundle_is_what_the_specification_says() -> None:
    """P14.1 to P14.3"""
    case = load("bundle")
    data, keys = unhex(case["valid"][0]["data"]), keys_of(case, 1)
    assert data[:8] == b"hcrbndl\x01"
    assert (data[8:24], data[24:28], data[28:44]) == (keys.group, b"\x00\x00\x00\x01", keys.check)
    assert data[44:60].hex() == case["id"]
    assert data[60] == 0
    at, plains, digest = 61, list[bytes](), h(data[:61])
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        envelope, at = data[at + 4 : at + 4 + size], at + 4 + size
        place = f"bundle/{case['id']}/{len(plains)}"
        associated = b"hcr1" + keys.group + place.encode()
        plains.append(crypto_aead_xchacha20poly1305_ietf_decrypt(envelope[25:], associated, envelope[1:25], keys.seal))
    for plain in plains[:-1]:
        digest = h(digest, h(plain))
    assert [plain[0] for plain in plains] == [1, 2, 3]
    manifest = [unhex(case["key"]), unhex(case["incarnation"]), case["wall_ms"], case["name"]]
    assert msgspec.msgpack.decode(unpack(Packed(plains[0][1], plains[0][2:]))) == manifest
    assert [unpack(Packed(plains[1][1], plains[1][2:])).hex()] == case["batches"]
    frames, events, signature = msgspec.msgpack.decode(unpack(Packed(plains[2][1], plains[2][2:])))
    assert (frames, events) == (2, case["events"])
    signed = h(digest, events.to_bytes(8, "big"))
    VerifyKey(unhex(case["key"])).verify(b"hcr1 bundle\x00" + signed, signature)


def read_bundle(data: bytes, keys: GroupKeys) -> list[bytes]:
    """The batches of a bundle, read by this program."""
    opener, at, batches = Opener(keys, read_head(BytesIO(data).read)), HEAD_BYTES, list[bytes]()
    while not opener.ended:
        size = int.from_bytes(data[at : at + LENGTH_BYTES], "big")
        events = sum(len(decode_batch(batch).records) for batch in batches)
        batch = opener.open(data[at + LENGTH_BYTES : at + LENGTH_BYTES + size], events)
        batches += [] if batch is None else [batch]
        at += LENGTH_BYTES + size
    return batches


def test_bundle_reads() -> None:
    """P14.2"""
    case = load("bundle")
    assert [batch.hex() for batch in read_bundle(unhex(case["valid"][0]["data"]), keys_of(case, 1))] == case["batches"]


def test_notice_of_a_bundle_tells_who_knows_an_earlier_epoch() -> None:
    """P14.7"""
    case = load("bundle")
    data, keys = unhex(case["with_notice"]), keys_of(case, 1)
    check, size = data[61:77], int.from_bytes(data[77:81], "big")
    envelope = data[81 : 81 + size]
    associated = b"hcr1" + keys.group + f"bundle/{case['id']}/notice".encode()
    plain = crypto_aead_xchacha20poly1305_ietf_decrypt(envelope[25:], associated, envelope[1:25], keys.seal)
    assert unpack(Packed(plain[0], plain[1:])).hex() == case["notice"]
    second = GroupKeys(keys.group, unhex(case["second_secret"]), 2)
    file = BytesIO(data)
    head = read_head(file.read)
    assert file.tell() == 81 + size
    assert (check, head.check) == (keys.check, second.check)
    found = head.notice({keys.check: keys})
    assert found is not None
    assert encode_notice(found).hex() == case["notice"]
    assert head.notice({second.check: second}) is None


@pytest.mark.parametrize("case", cases("bundle", "invalid"))
def test_bundle_that_is_none_is_refused(case: Json) -> None:
    """P14.5"""
    with pytest.raises(ProtocolError) as error:
        read_bundle(unhex(case["data"]), keys_of(load("bundle"), 1))
    assert error.value.reason == case["reason"]
