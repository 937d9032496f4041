"""A simulated MQTT broker at the level of messages: sessions, subscriptions, retained messages, wills.

Owns what a broker remembers and decides; how long anything travels is the link's affair. It must never look
into a payload. The defaults are what Mosquitto 2.0.11 was seen to do (clean start, QoS 1):

- SUBACK goes out before the retained messages it causes; those carry retain = 1, live ones retain = 0;
- one copy per matching filter: always of retained messages, of live ones only to MQTT 5 clients;
- an empty retained payload clears, and is delivered live like any other, also when there was nothing to clear;
- a publisher that subscribes to its own topic gets the echo before the PUBACK; no_local stops live echoes only,
  so what it had stored itself comes back when it subscribes;
- takeover by the same client id closes the older connection and publishes its will, as an ungraceful end does;
  DISCONNECT discards the will; a broker that is stopped publishes none;
- 20 in flight and 1,000 queued a session, then messages are lost without a word;
- `#` and `+` do not match a first level that begins with `$`; `a/#` matches `a`;
- a packet over the limit ends the connection.

Known differences: no persistent sessions, no QoS 0 or 2, no shared subscriptions, no will delay interval; a
session's options for a filter are those of its last SUBSCRIBE, and messages wait by count, not by bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Generic, Literal, Protocol, TypeVar

from hcom_replica.errors import UsageError
from hcom_replica.ports import Capabilities, Delivered, Published, Subscribed, Will
from hcom_replica.testing.scheduler import Scheduler, Timer

V = TypeVar("V")


@dataclass(slots=True)
class BrokerConfig:
    """What this broker can and will do. May be changed while it runs.

    Attributes:
        version: 5 or 4 (MQTT 3.1.1, where nothing can be refused in a PUBACK and nothing is announced).
        retain: "keep"; "ignore": delivered live, never stored; "refuse": the publisher is disconnected.
        retain_wildcard: False gives no retained messages to filters with + or #, as RabbitMQ.
        retained_lag_ms: how much later than a live message a stored one may come; above 0, an older stored
            value can arrive after a newer live one, as clusters do.
        retained_count_max, retained_bytes_max: quota; a value beyond it is delivered live but not stored.
        quota_refuses: the quota is told in the PUBACK instead of silently (MQTT 5).
        packet_bytes_max: limit of one packet; None is none.
        oversize: a packet over the limit "disconnect"s its sender, or is acknowledged and lost ("drop").
        deny_publish, deny_subscribe: the access list: publishes to topics that match, and subscriptions of exactly
            these filters, are refused.
        refuse_clients: reason to refuse every CONNECT with; empty accepts.
        inflight_max, queued_max: a session's unacknowledged and waiting messages; beyond both they are lost.
        session_bytes_per_s: pace of each session's deliveries; None is unlimited.
    """

    version: Literal[4, 5] = 5
    retain: Literal["keep", "ignore", "refuse"] = "keep"
    retain_wildcard: bool = True
    retained_lag_ms: tuple[int, int] = (0, 0)
    retained_count_max: int | None = None
    retained_bytes_max: int | None = None
    quota_refuses: bool = False
    packet_bytes_max: int | None = None
    oversize: Literal["disconnect", "drop"] = "disconnect"
    deny_publish: tuple[str, ...] = ()
    deny_subscribe: tuple[str, ...] = ()
    refuse_clients: str = ""
    inflight_max: int = 20
    queued_max: int = 1_000
    session_bytes_per_s: int | None = None


@dataclass(slots=True)
class Tally:
    """PUBLISH packets, seen from the broker: `in_` from clients, `out` to them, `dropped` without a word."""

    messages_in: int = 0
    bytes_in: int = 0
    messages_out: int = 0
    bytes_out: int = 0
    dropped: int = 0


@dataclass(slots=True)
class Traffic:
    """Counters of a broker's life; restarts do not reset them.

    Attributes:
        by_owner: per device (whatever client ids it used).
        by_class: per topic class, the first two levels of the topic.
        events: everything else, by a short name: takeover, will, quota, oversize, denied, retain-ignored.
    """

    by_owner: dict[str, Tally] = field(default_factory=dict)
    by_class: dict[str, Tally] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)

    def owner(self, name: str) -> Tally:
        """The counters of one device."""
        return self.by_owner.setdefault(name, Tally())

    def topic(self, topic: str) -> Tally:
        """The counters of this topic's class."""
        return self.by_class.setdefault(topic_class(topic), Tally())

    def note(self, event: str) -> None:
        """Count one of `events`."""
        self.events[event] = self.events.get(event, 0) + 1


class Peer(Protocol):
    """The broker's end of a connection: what it can put on the wire to a client."""

    def deliver(self, message: Delivered) -> None:
        """Send a PUBLISH; the peer calls `Session.acked_at` when it knows when the PUBACK comes."""

    def suback(self, answer: Subscribed) -> None:
        """Send a SUBACK."""

    def puback(self, answer: Published) -> None:
        """Send a PUBACK."""

    def kicked(self, reason: str) -> None:
        """Close the connection; the session has ended."""


@lru_cache(maxsize=1 << 16)
def levels(path: str) -> tuple[str, ...]:
    """The levels of a topic or filter."""
    return tuple(path.split("/"))


@lru_cache(maxsize=1 << 16)
def topic_class(topic: str) -> str:
    """The first two levels of a topic: what its traffic is counted under."""
    return "/".join(levels(topic)[:2])


def is_wildcard(path: str) -> bool:
    """Whether a filter has + or #."""
    return "+" in path or "#" in path


def check_filter(path: str) -> str:
    """Return `path` if it is a filter that this broker knows.

    Raises:
        UsageError: it is empty, shared, or has a misplaced + or #.
    """
    parts = levels(path)
    misplaced = any(is_wildcard(part) and part not in ("+", "#") for part in parts) or "#" in parts[:-1]
    if not path or misplaced or parts[0] == "$share":
        raise UsageError(f"not a topic filter: {path!r}")
    return path


def matches(path: str, topic: str) -> bool:
    """Whether the filter `path` matches `topic`."""
    tree: TopicTree[bool] = TopicTree()
    tree.put(topic, value=True)
    return bool(tree.matching_filter(path))


class _Node(Generic[V]):
    __slots__ = ("children", "value")

    def __init__(self) -> None:
        self.children: dict[str, _Node[V]] = {}
        self.value: V | None = None


class TopicTree(Generic[V]):
    """Values under topics or filters, found by level: topics that match a filter, or filters that match a topic."""

    def __init__(self) -> None:
        self._root: _Node[V] = _Node()

    def put(self, path: str, value: V) -> None:
        """Store or replace."""
        node = self._root
        for part in levels(path):
            node = node.children.setdefault(part, _Node())
        node.value = value

    def get(self, path: str) -> V | None:
        """The value at exactly `path`."""
        node: _Node[V] | None = self._root
        for part in levels(path):
            node = node.children.get(part) if node is not None else None
        return node.value if node is not None else None

    def pop(self, path: str) -> None:
        """Remove what is at exactly `path`, if anything, and the branches that this leaves empty."""
        trail = [self._root]
        for part in levels(path):
            child = trail[-1].children.get(part)
            if child is None:
                return
            trail.append(child)
        trail[-1].value = None
        for parent, child, part in reversed(list(zip(trail, trail[1:], levels(path), strict=False))):
            if child.value is not None or child.children:
                return
            del parent.children[part]

    def matching_topic(self, topic: str) -> list[V]:
        """Values of the stored filters that match `topic`."""
        found: list[V] = []
        nodes = [self._root]
        for depth, part in enumerate(levels(topic)):
            wild = ("+", "#") if depth or not part.startswith("$") else ()
            if wild:
                found.extend(v for n in nodes if (h := n.children.get("#")) and (v := h.value) is not None)
            nodes = [c for n in nodes for name in (part, *wild[:1]) if (c := n.children.get(name)) is not None]
            if not nodes:
                return found
        found.extend(v for n in nodes if (v := n.value) is not None)
        found.extend(v for n in nodes if (h := n.children.get("#")) and (v := h.value) is not None)
        return found

    def matching_filter(self, path: str) -> list[V]:
        """Values of the stored topics that match the filter `path`, in the order they were first stored per level."""
        nodes = [self._root]
        for depth, part in enumerate(levels(path)):
            if part == "#":
                return [value for node in nodes for value in self._below(node, hide_dollar=not depth)]
            if part == "+":
                nodes = [c for n in nodes for name, c in n.children.items() if depth or not name.startswith("$")]
            else:
                nodes = [c for n in nodes if (c := n.children.get(part)) is not None]
        return [value for node in nodes if (value := node.value) is not None]

    def _below(self, node: _Node[V], *, hide_dollar: bool) -> Iterator[V]:
        stack = [node]
        while stack:
            top = stack.pop()
            if top.value is not None:
                yield top.value
            children = [c for name, c in top.children.items() if not (hide_dollar and name.startswith("$"))]
            stack.extend(reversed(children))
            hide_dollar = False


class Session:
    """A client's state at the broker: its subscriptions, will, and the queue of what goes out to it."""

    __slots__ = (
        "_acks", "_broker", "_inflight", "_queue", "_ready_us", "_timer",
        "client_id", "filters", "open", "owner", "peer", "tally", "will",
    )  # fmt: skip

    def __init__(self, broker: SimBroker, client_id: str, owner: str, peer: Peer, will: Will | None) -> None:
        self._broker = broker
        self.client_id = client_id
        self.owner = owner
        self.peer = peer
        self.will = will
        self.open = True
        self.filters: dict[str, bool] = {}
        self.tally = broker.traffic.owner(owner)
        self._queue: deque[Delivered] = deque()
        self._inflight = 0
        self._acks: deque[int] = deque()
        self._ready_us = 0
        self._timer: Timer | None = None

    @property
    def waiting(self) -> int:
        """Messages queued or not yet acknowledged."""
        self._settle()
        return len(self._queue) + self._inflight

    def offer(self, message: Delivered) -> None:
        """Send now, or queue, or lose: the limits decide."""
        if not self.open:
            return
        if not self._queue and self._may_send():
            self._send(message)
        elif len(self._queue) < self._broker.config.queued_max:
            self._queue.append(message)
            self._arm()
        else:
            self.tally.dropped += 1
            self._broker.traffic.topic(message.topic).dropped += 1

    def acked_at(self, ms: int) -> None:
        """A PUBACK will arrive at `ms`, never before an earlier one; known ahead, to save an entry on the agenda."""
        self._acks.append(ms)
        if self._queue:
            self._arm()

    def end(self) -> None:
        """Forget everything that was to go out."""
        self.open = False
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _may_send(self) -> bool:
        self._settle()
        paced = self._broker.config.session_bytes_per_s is not None
        if paced and self._ready_us > self._broker.scheduler.now_ms * 1000:
            return False
        return self._inflight < self._broker.config.inflight_max

    def _settle(self) -> None:
        acks, now_ms = self._acks, self._broker.scheduler.now_ms
        while acks and acks[0] <= now_ms:
            acks.popleft()
            self._inflight -= 1

    def _send(self, message: Delivered) -> None:
        broker = self._broker
        size = broker.packet_bytes(message.topic, message.payload)
        if (rate := broker.config.session_bytes_per_s) is not None:
            self._ready_us = max(self._ready_us, broker.scheduler.now_ms * 1000) + size * 1_000_000 // rate
        self._inflight += 1
        for tally in (self.tally, broker.traffic.topic(message.topic)):
            tally.messages_out += 1
            tally.bytes_out += size
        self.peer.deliver(message)

    def _pump(self) -> None:
        while self._queue and self.open and self._may_send():
            self._send(self._queue.popleft())
        if self._queue and self.open:
            self._arm()

    def _arm(self) -> None:
        """Wake when the next message may go: the pace allows it and, with a full window, an ack has come."""
        due_ms = -(-self._ready_us // 1000)
        if self._inflight >= self._broker.config.inflight_max:
            if not self._acks:
                return
            due_ms = max(due_ms, self._acks[0])
        if self._timer is None or not self._timer.pending:
            self._timer = self._broker.scheduler.at(due_ms, self._pump)


class SimBroker:
    """The broker. Links connect to it; tests stop, restart, roll back and look into it.

    Args:
        scheduler: virtual time and randomness.
        config: what it can do; the defaults behave as Mosquitto.

    Attributes:
        traffic: the counters.
        sessions: open sessions by client id.
        running: False between `stop` and `start`.
    """

    def __init__(self, scheduler: Scheduler, config: BrokerConfig | None = None) -> None:
        self.scheduler = scheduler
        self.config = config or BrokerConfig()
        self.traffic = Traffic()
        self.sessions: dict[str, Session] = {}
        self.running = True
        self._exact: dict[str, dict[Session, bool]] = {}
        self._wild: TopicTree[dict[Session, bool]] = TopicTree()
        self._retained: dict[str, bytes] = {}
        self._retained_tree: TopicTree[str] = TopicTree()
        self._retained_bytes = 0

    # --- connections ---------------------------------------------------------------------------------------

    def capabilities(self) -> Capabilities:
        """What CONNACK announces: everything but wildcards in MQTT 5, nothing in 3.1.1."""
        if self.config.version == 4:
            return Capabilities(version=4)
        return Capabilities(
            version=5,
            packet_bytes_max=self.config.packet_bytes_max,
            retain=self.config.retain != "refuse",
            receive_max=self.config.inflight_max,
        )

    def connect(self, client_id: str, peer: Peer, *, owner: str, will: Will | None = None) -> Session:
        """Open a clean session; an older one with this client id is closed and its will published."""
        older = self.sessions.get(client_id)
        if older is not None:
            self.traffic.note("takeover")
            self.kick(older, "session taken over")
        session = Session(self, client_id, owner, peer, will)
        self.sessions[client_id] = session
        return session

    def disconnect(self, session: Session) -> None:
        """DISCONNECT came: end the session and discard the will."""
        self._end(session)

    def lost(self, session: Session) -> None:
        """The connection broke, or its keepalive ran out: end the session and publish the will."""
        if not session.open:
            return
        self._end(session)
        if session.will is not None:
            self.traffic.note("will")
            self.route(session, session.will.topic, session.will.payload, retain=True)

    def kick(self, session: Session, reason: str) -> None:
        """End the session from this side; the will is published."""
        if session.open:
            self.lost(session)
            session.peer.kicked(reason)

    def _end(self, session: Session) -> None:
        if not session.open:
            return
        self.unsubscribe(session, tuple(session.filters))
        session.end()
        del self.sessions[session.client_id]

    # --- subscriptions -------------------------------------------------------------------------------------

    def subscribe(self, session: Session, filters: Sequence[str], *, no_local: bool, fresh: bool) -> None:
        """Grant `filters`, send the SUBACK, then the stored messages that match each of them.

        Args:
            session: whose.
            filters: those of one packet.
            no_local: do not echo the session's own live publishes (MQTT 5).
            fresh: send what is stored, also for a filter that the session already has; False (MQTT 5) sends only
                what comes from now on.
        """
        five = self.config.version == 5
        refused = tuple(path for path in filters if path in self.config.deny_subscribe)
        granted = [path for path in filters if path not in refused]
        for path in granted:
            session.filters[path] = no_local and five
            self._subscribers(path)[session] = no_local and five
        session.peer.suback(Subscribed(tuple(filters), refused))
        for path in granted if fresh or not five else ():
            self._send_retained(session, path)

    def unsubscribe(self, session: Session, filters: Sequence[str]) -> None:
        """End subscriptions; unknown filters are ignored."""
        for path in filters:
            if session.filters.pop(path, None) is None:
                continue
            subscribers = self._subscribers(path)
            del subscribers[session]
            if not subscribers and is_wildcard(path):
                self._wild.pop(path)
            elif not subscribers:
                del self._exact[path]

    def _subscribers(self, path: str) -> dict[Session, bool]:
        if not is_wildcard(path):
            return self._exact.setdefault(path, {})
        found = self._wild.get(path)
        if found is None:
            found = {}
            self._wild.put(path, found)
        return found

    def _send_retained(self, session: Session, path: str) -> None:
        if is_wildcard(path):
            topics = self._retained_tree.matching_filter(path) if self.config.retain_wildcard else []
        else:
            topics = [path] if path in self._retained else []
        for topic in topics:
            message = Delivered(topic, self._retained[topic], retain=True)
            lag_ms = self.scheduler.between(self.config.retained_lag_ms)
            if lag_ms:
                self.scheduler.after(lag_ms, session.offer, message)
            else:
                session.offer(message)

    # --- messages ------------------------------------------------------------------------------------------

    def packet_bytes(self, topic: str, payload: bytes) -> int:
        """Size of a QoS 1 PUBLISH packet: fixed header, topic, packet id, (no) properties, payload."""
        body = 4 + len(topic) + len(payload) + (self.config.version == 5)
        return 2 + (body > 127) + (body > 16_383) + (body > 2_097_151) + body

    def publish(self, session: Session, topic: str, payload: bytes, *, retain: bool, token: int) -> None:
        """A PUBLISH came: check, route, acknowledge. Echoes leave before the PUBACK."""
        if not session.open:
            return
        size = self.packet_bytes(topic, payload)
        for tally in (session.tally, self.traffic.topic(topic)):
            tally.messages_in += 1
            tally.bytes_in += size
        if self.config.packet_bytes_max is not None and size > self.config.packet_bytes_max:
            self.traffic.note("oversize")
            if self.config.oversize == "disconnect":
                self.kick(session, "packet too large")
            else:
                session.peer.puback(Published(token))
        elif retain and self.config.retain == "refuse":
            self.traffic.note("retain-refused")
            self.kick(session, "retain not supported")
        else:
            taken = self._allowed(topic) and self.route(session, topic, payload, retain=retain)
            session.peer.puback(Published(token, not taken and self.config.version == 5))

    def inject(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish as an outsider who knows the topic."""
        self.route(None, topic, payload, retain=retain)

    def route(self, source: Session | None, topic: str, payload: bytes, *, retain: bool) -> bool:
        """Store if asked and allowed, and deliver to all subscribers. False when a quota was told."""
        stored = not retain or self._store(topic, payload)
        if not stored and self.config.quota_refuses:
            return False
        message = Delivered(topic, payload, retain=False)
        maps = self._wild.matching_topic(topic)
        exact = self._exact.get(topic)
        if exact is not None:
            maps.append(exact)
        if self.config.version == 5 or len(maps) == 1:
            for subscribers in maps:
                for session, no_local in subscribers.items():
                    if not no_local or session is not source:
                        session.offer(message)
        else:
            for session in dict.fromkeys(session for subscribers in maps for session in subscribers):
                session.offer(message)
        return True

    def _allowed(self, topic: str) -> bool:
        if not any(matches(path, topic) for path in self.config.deny_publish):
            return True
        self.traffic.note("denied")
        return False

    # --- retained messages ---------------------------------------------------------------------------------

    def _store(self, topic: str, payload: bytes) -> bool:
        """Set or clear a stored message; False when a quota forbids it (the older value stays)."""
        if self.config.retain != "keep":
            self.traffic.note("retain-ignored")
            return True
        if not payload:
            self._forget(topic)
            return True
        old = self._retained.get(topic)
        size = self._retained_bytes - len(old or b"") + len(payload)
        count_max, bytes_max = self.config.retained_count_max, self.config.retained_bytes_max
        over_count = count_max is not None and old is None and len(self._retained) >= count_max
        if over_count or (bytes_max is not None and size > bytes_max):
            self.traffic.note("quota")
            return False
        if old is None:
            self._retained_tree.put(topic, topic)
        self._retained[topic] = payload
        self._retained_bytes = size
        return True

    def _forget(self, topic: str) -> None:
        payload = self._retained.pop(topic, None)
        if payload is not None:
            self._retained_tree.pop(topic)
            self._retained_bytes -= len(payload)

    @property
    def retained_bytes(self) -> int:
        """Payload bytes of all stored messages."""
        return self._retained_bytes

    def retained(self, path: str = "#") -> Iterator[tuple[str, bytes]]:
        """Stored messages that match the filter `path`, as (topic, payload); safe against changes on the way."""
        for topic in self._retained_tree.matching_filter(path):
            if topic in self._retained:
                yield topic, self._retained[topic]

    def snapshot(self) -> Mapping[str, bytes]:
        """The stored messages as they are now, for `restart` or `roll_back`."""
        return dict(self._retained)

    def roll_back(self, retained: Mapping[str, bytes]) -> None:
        """Replace all stored messages by an older snapshot; nobody is told, as a broker would not."""
        for topic in tuple(self._retained):
            self._forget(topic)
        for topic, payload in retained.items():
            self._retained_tree.put(topic, topic)
            self._retained[topic] = payload
            self._retained_bytes += len(payload)

    def forget(self, path: str) -> int:
        """Lose the stored messages that match the filter `path`; returns how many there were."""
        topics = self._retained_tree.matching_filter(path)
        for topic in topics:
            self._forget(topic)
        return len(topics)

    # --- life ----------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End every session without wills; CONNECTs find nobody until `start`."""
        self.running = False
        for session in tuple(self.sessions.values()):
            self._end(session)
            session.peer.kicked("broker stopped")

    def start(self, keep: Literal["all", "nothing"] | Mapping[str, bytes] = "all") -> None:
        """Run again with all, none, or an older snapshot of the stored messages."""
        if keep != "all":
            self.roll_back({} if isinstance(keep, str) else keep)
        self.running = True

    def restart(self, keep: Literal["all", "nothing"] | Mapping[str, bytes] = "all", *, down_ms: int = 0) -> None:
        """Stop now and start again after `down_ms`."""
        self.stop()
        if down_ms:
            self.scheduler.after(down_ms, self.start, keep)
        else:
            self.start(keep)
