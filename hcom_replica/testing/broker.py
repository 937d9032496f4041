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

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from hcom_replica.ports import Capabilities, Delivered, Published, Subscribed, Will
from hcom_replica.testing.brokerconfig import BrokerConfig
from hcom_replica.testing.scheduler import Scheduler
from hcom_replica.testing.session import Outgoing, Peer, Session
from hcom_replica.testing.topictree import TopicTree, is_wildcard, matches
from hcom_replica.testing.traffic import Traffic


class SimBroker:
    """The broker. Links connect to it; tests stop, restart, roll back and look into it.

    Args:
        scheduler: virtual time and randomness.
        config: what it can do; the defaults behave as Mosquitto.

    Attributes:
        traffic: the counters.
        sessions: open sessions by client id.
        running: False between `stop` and `start`.
        forgot: how often stored messages were lost, or older ones put back, while clients were connected.
    """

    def __init__(self, scheduler: Scheduler, config: BrokerConfig | None = None) -> None:
        self.scheduler = scheduler
        self.config = config or BrokerConfig()
        self.traffic = Traffic()
        self.sessions: dict[str, Session] = {}
        self.running = True
        self.forgot = 0
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
        session = Session(self.config, self.traffic, self.scheduler, client_id, owner, peer, will)
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
            out = self._outgoing(topic, self._retained[topic], retain=True)
            lag_ms = self.scheduler.between(self.config.retained_lag_ms)
            if lag_ms:
                self.scheduler.after(lag_ms, session.offer, out)
            else:
                session.offer(out)

    # --- messages ------------------------------------------------------------------------------------------

    def publish(self, session: Session, topic: str, payload: bytes, *, retain: bool, token: int) -> None:
        """A PUBLISH came: check, route, acknowledge. Echoes leave before the PUBACK."""
        if not session.open:
            return
        size = self.config.packet_bytes(topic, payload)
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
        out = self._outgoing(topic, payload, retain=False)
        maps = self._wild.matching_topic(topic)
        exact = self._exact.get(topic)
        if exact is not None:
            maps.append(exact)
        if self.config.version == 5 or len(maps) == 1:
            for subscribers in maps:
                for session, no_local in subscribers.items():
                    if not no_local or session is not source:
                        session.offer(out)
        else:
            for session in dict.fromkeys(session for subscribers in maps for session in subscribers):
                session.offer(out)
        return True

    def _outgoing(self, topic: str, payload: bytes, *, retain: bool) -> Outgoing:
        size = self.config.packet_bytes(topic, payload)
        return Outgoing(Delivered(topic, payload, retain), size, self.traffic.topic(topic))

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
        self.forgot += bool(self.sessions)
        for topic in tuple(self._retained):
            self._forget(topic)
        for topic, payload in retained.items():
            self._retained_tree.put(topic, topic)
            self._retained[topic] = payload
            self._retained_bytes += len(payload)

    def forget(self, path: str) -> int:
        """Lose the stored messages that match the filter `path`; returns how many there were."""
        topics = self._retained_tree.matching_filter(path)
        self.forgot += bool(topics and self.sessions)
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
