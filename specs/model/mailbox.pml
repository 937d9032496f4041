/* mailbox.pml: one writer and its ring, readers that are never online together with it or with each other.
 *
 * Says:      what `flush` called safe in the broker can be read there, or is held by a reader (S1); an acknowledgement
 *            believed is true (S6); a line of an index, once true, stays true while it stands; a slot is cleared only when
 *            all active devices have it; L2 and the empty mailboxes of L3, one visit at a time.
 * Clauses:   P6.8, P7.1, P7.3, P7.9, P8.1 to P8.9.
 * Abstracts: a segment is a range of at most CAPACITY events; its hash is the range. Visits follow each other in any order and
 *            end at any moment while things go wrong; what was under way then has arrived or not. Once `heal`, the devices
 *            take turns and each stays until it has nothing left to do.
 */
#include "common.pml"

#ifndef EVENTS
#define EVENTS 3
#endif
#ifndef READERS
#define READERS 2
#endif
#ifndef CAPACITY          /* events that fit in a segment */
#define CAPACITY 2
#endif
#ifndef CRASHES           /* of the writer: a new process, the same disk */
#define CRASHES 1
#endif
#ifndef AMNESIAS          /* the broker forgets everything */
#define AMNESIAS 0
#endif
#ifndef LAPSES            /* the broker acknowledges a segment and does not keep it, or drops one later */
#define LAPSES 0
#endif
#ifndef STALE             /* M_STALE_QUEUE: what a dead connection had queued is sent after the next one's */
#define STALE 0
#endif

#define SLOTS 2           /* one half, one slot: it serves what is lowest; the other holds the newest run */
#define SEG(f, l)  ((f) * 4 + (l))
#define FIRST(x)   ((x) / 4)
#define LAST(x)    ((x) % 4)
#define HAS(x, e)  ((x) && FIRST(x) <= (e) && (e) <= LAST(x))
#define WITHIN(x, y) ((x) && (y) && (x) != (y) && FIRST(y) <= FIRST(x) && LAST(x) <= LAST(y))
#define WRITER     READERS
#define NOBODY     (READERS + 1)

/* the broker */
byte index[SLOTS], slot[SLOTS], vec[READERS], head;
bool standing[READERS];

/* disks */
byte tip, held[READERS];

/* the writer's memory */
byte ring[SLOTS], ack[READERS];
bool taken[SLOTS];       /* the broker has acknowledged it to this process, or it was read back */
bool open;               /* the fence of this connection has passed */
bool fresh = true;       /* this process has seen no ring yet */
bool checked, idle;      /* read back on this connection; nothing to write until something changes */
byte planned[SLOTS], target, segment;
mtype = { Idle, IndexSent, IndexKept, SlotSent, SlotKept, ClearSent, IndexCleared };
mtype phase = Idle;

byte online = NOBODY;
byte crashes, amnesias, lapses;
byte vow;                        /* ghost: `flush` called events 1 to vow safe */
bool heal, stale;

#if READERS == 2
#define LOW   (ack[0] < ack[1] -> ack[0] : ack[1])
#define SAVED (ack[0] > ack[1] -> ack[0] : ack[1])
#define HELD(e) (held[0] >= (e) || held[1] >= (e))
#define ASKED (standing[0] || standing[1])
#define ALL_HOLD(e) (held[0] >= (e) && held[1] >= (e))
#else
#define LOW   ack[0]
#define SAVED ack[0]
#define HELD(e) (held[0] >= (e))
#define ASKED standing[0]
#define ALL_HOLD(e) (held[0] >= (e))
#endif

#ifdef M_CLEAR_EARLY
#define ENOUGH SAVED
#else
#define ENOUGH LOW
#endif

/* S1 for what was flushed: on a reader's disk, or in a slot that the index names. */
#define READABLE(e) ((HAS(index[0], e) && HAS(slot[0], e)) || (HAS(index[1], e) && HAS(slot[1], e)))
#define SAFE(e)     (vow < (e) || HELD(e) || READABLE(e))
inline check() { assert(SAFE(1) && SAFE(2) && SAFE(3)) }

/* What the ring holds as far as the writer knows. */
#define IN_RING(e)   (HAS(ring[0], e) || HAS(ring[1], e))
#define COVERED(e)   ((e) > tip || (e) <= low || IN_RING(e))
#ifdef M_TRUST_ADOPTED
#define PROVEN(j)    true
#else
#define PROVEN(j)    taken[j]
#endif
#define NEEDED(j)    (ring[j] && LAST(ring[j]) > low && !(WITHIN(ring[j], ring[1 - j]) && PROVEN(1 - j)))
#define SIZE(x)      (LAST(x) - FIRST(x) + 1)

/* An event that flush may call safe: it was read back from a slot. */
#ifdef M_FLUSH_ON_PUBACK
#define BACK(j, e)   (HAS(ring[j], e) && taken[j])
#else
#define BACK(j, e)   (HAS(ring[j], e) && slot[j] == ring[j])
#endif
#define FLUSHED(e)   ((e) > tip || (e) <= SAVED || BACK(0, e) || BACK(1, e))

#ifdef M_NEWEST_STAYS
#define GIVES_WAY false
#else
#define GIVES_WAY first == low + 1
#endif

/* The next segment and its slot (P8.2 to P8.4); target == SLOTS: nothing is due. */
inline plan() {
	low = LOW; tail = SLOTS; target = SLOTS; first = 0; upto = low;
	if :: NEEDED(0) && LAST(ring[0]) > upto -> tail = 0; upto = LAST(ring[0]) :: else fi;
	if :: NEEDED(1) && LAST(ring[1]) > upto -> tail = 1; upto = LAST(ring[1]) :: else fi;
	if
	:: upto >= tip ->        /* the tip is covered: go on ascending towards the newest half */
		first = (!COVERED(1) -> 1 : (!COVERED(2) -> 2 : (!COVERED(3) -> 3 : 0)))
	:: else ->
		first = upto + 1;
		if
		:: tail < SLOTS && SIZE(ring[tail]) <= tip - upto && SIZE(ring[tail]) < CAPACITY -> first = FIRST(ring[tail])
		:: else
		fi
	fi;
	last = (first + CAPACITY - 1 < tip -> first + CAPACITY - 1 : tip);
	if
	:: !first -> skip
	:: first && !NEEDED(0) -> target = 0
	:: first && NEEDED(0) && !NEEDED(1) -> target = 1
	:: first && NEEDED(0) && NEEDED(1) ->
		if                  /* no room: the newest half gives way, the serving half stays */
		:: upto < tip || GIVES_WAY -> target = (HAS(ring[0], low + 1) && first != FIRST(ring[0]) -> 1 : 0)
		:: else
		fi
	fi
}

/* All that the index on the broker names is held by all, also what this process does not count as written (P8.5). */
#ifdef M_CLEAR_BY_MEMORY
#define NAMED(j)  ring[j]
#else
#define NAMED(j)  index[j]
#endif
#define CLEARABLE (open && phase == Idle && (NAMED(0) || NAMED(1)) && LAST(NAMED(0)) <= ENOUGH && LAST(NAMED(1)) <= ENOUGH)

/* Raise the index. A segment that is about to be replaced stays named until what replaces it is kept (P8.1). */
inline raise() {
	segment = SEG(first, last);
	planned[target] = segment;
#ifdef M_UNNAME_EARLY
	planned[1 - target] = ((ring[1 - target] && !WITHIN(ring[1 - target], segment)) -> ring[1 - target] : 0);
#else
	planned[1 - target] = ring[1 - target];
#endif
	/* newer events need the room of older ones: what was flushed is on this disk only, and flush says so again */
	if
	:: vow && NEEDED(target) && !WITHIN(ring[target], segment) && vow >= FIRST(ring[target]) && !HELD(LAST(ring[target])) ->
		vow = FIRST(ring[target]) - 1
	:: else
	fi;
	ring[0] = planned[0]; ring[1] = planned[1];
	taken[target] = false
}

inline keep_slot() {
	assert(index[target] == segment || slot[target] == 0 || slot[target] != index[target]);   /* P8.1 */
	if
	:: slot[target] = segment
	:: !heal && lapses < LAPSES -> lapses++; slot[target] = 0; vow = 0
	fi;
	check()
}

/* The fence has passed: take over what the index on the broker names (P7.1, P8.8). */
inline adopt(j) {
	taken[j] = taken[j] && ring[j] == index[j];
#ifdef M_DROP_UNPROVEN
	ring[j] = ((fresh || taken[j]) -> index[j] : 0)
#else
	ring[j] = index[j]
#endif
}

/* Read a slot back: what is not there as the index says counts as not written (P8.8). */
inline read_back(j) {
	if :: slot[j] != ring[j] -> ring[j] = 0 :: else fi;
	taken[j] = (ring[j] != 0)
}

#define Hear(r) \
	:: d_step { online == WRITER && open && vec[r] > ack[r] -> \
		assert(held[r] >= vec[r]); \
		ack[r] = vec[r]; idle = false }

proctype Writer() {
	byte low, upto, first, last, tail;
end:	do
	:: d_step { !heal && tip < EVENTS -> tip++; idle = false }                       /* also offline */
	:: d_step { online == WRITER && !open ->
		phase = Idle; checked = false;
#ifdef M_NO_FENCE
		if :: fresh -> ring[0] = 0; ring[1] = 0 :: else -> adopt(0); adopt(1) fi;
#else
		adopt(0); adopt(1);
#endif
		open = true; fresh = false; idle = false }
	:: d_step { online == WRITER && open && head != tip -> head = tip }
	Hear(0)
#if READERS == 2
	Hear(1)
#endif

#ifndef M_NO_READ_BACK
	/* somebody still asks for what the index names: look whether it is there, once a connection (P8.8) */
	:: d_step { online == WRITER && open && phase == Idle && ASKED && !checked ->
		read_back(0); read_back(1); checked = true; idle = false }
#endif

	/* write: index, its PUBACK, segment, its PUBACK */
	:: d_step { online == WRITER && open && phase == Idle && !idle && !CLEARABLE ->
		plan();
		if
		:: target < SLOTS -> raise();
#ifdef M_SLOT_FIRST
			phase = SlotSent
#else
			phase = IndexSent
#endif
		:: else -> idle = true
		fi;
		low = 0; upto = 0; first = 0; last = 0; tail = 0 }
	:: atomic { online == WRITER && phase == IndexSent ->
		index[0] = planned[0]; index[1] = planned[1]; phase = IndexKept; check() }
#ifdef M_SLOT_FIRST
	:: atomic { online == WRITER && phase == IndexKept -> phase = Idle; idle = false }
	:: atomic { online == WRITER && phase == SlotKept -> taken[target] = true; phase = IndexSent }
#else
	:: atomic { online == WRITER && phase == IndexKept -> phase = SlotSent }
	:: atomic { online == WRITER && phase == SlotKept -> taken[target] = true; phase = Idle; idle = false }
#endif
	:: atomic { online == WRITER && phase == SlotSent -> keep_slot(); phase = SlotKept }

	/* clear: segments, then the index (P8.5) */
#ifdef M_CLEAR_ON_PUBACK
	:: atomic { online == WRITER && open && phase == Idle && (ring[0] || ring[1]) -> phase = ClearSent }
#else
	:: atomic { online == WRITER && CLEARABLE -> phase = ClearSent }
#endif
	:: atomic { online == WRITER && phase == ClearSent ->
		assert(ALL_HOLD(LAST(index[0])) && ALL_HOLD(LAST(index[1])));
		slot[0] = 0; slot[1] = 0; phase = IndexCleared; check() }
	:: atomic { online == WRITER && phase == IndexCleared ->
		index[0] = 0; index[1] = 0; ring[0] = 0; ring[1] = 0; taken[0] = false; taken[1] = false;
		phase = Idle; idle = false; check() }
	:: atomic { stale -> slot[0] = 0; slot[1] = 0; index[0] = 0; index[1] = 0; stale = false; check() }

	/* flush: all of it is acknowledged, or read back from the broker */
	:: atomic { online == WRITER && open && phase == Idle && vow < tip && FLUSHED(1) && FLUSHED(2) && FLUSHED(3) ->
		vow = tip;
		taken[0] = taken[0] || (ring[0] && slot[0] == ring[0]);
		taken[1] = taken[1] || (ring[1] && slot[1] == ring[1]);
		check() }
	od
}

#define Read(j) \
	:: d_step { online == r && index[j] && FIRST(slot[j]) <= held[r] + 1 && held[r] < LAST(slot[j]) -> \
		held[r] = LAST(slot[j]) }
#define MISSES(r)   (held[r] < head || held[r] < LAST(index[0]) || held[r] < LAST(index[1]))
#define USEFUL(r,j) (index[j] && slot[j] && FIRST(slot[j]) <= held[r] + 1 && held[r] < LAST(slot[j]))
#define WANTS(r)    (MISSES(r) && !USEFUL(r, 0) && !USEFUL(r, 1))

proctype Reader(byte r) {
end:	do
	Read(0)
	Read(1)
	:: d_step { online == r && vec[r] != held[r] -> vec[r] = held[r] }
	:: d_step { online == r && !USEFUL(r, 0) && !USEFUL(r, 1) && standing[r] != MISSES(r) -> standing[r] = MISSES(r) }
	od
}

#define READER_QUIET(r) (!USEFUL(r, 0) && !USEFUL(r, 1) && vec[r] == held[r] && standing[r] == MISSES(r))
#if READERS == 2
#define HEARD (vec[0] <= ack[0] && vec[1] <= ack[1])
#else
#define HEARD (vec[0] <= ack[0])
#endif
#ifdef M_NO_READ_BACK
#define LOOKED true
#else
#define LOOKED (checked || !ASKED)
#endif

/* The connection ends at any moment: nothing that was handed to it goes out later. */
inline leave() {
#ifdef M_STALE_QUEUE
	if :: phase == ClearSent -> stale = true :: else fi;
#endif
#ifdef M_WILL_TOUCHES_DATA
	if :: online == WRITER -> index[0] = 0; index[1] = 0 :: else fi;
#endif
	open = false; phase = Idle; target = 0; segment = 0; planned[0] = 0; planned[1] = 0; checked = false; idle = false
}

proctype World() {
end:	do
	:: atomic { !heal -> leave(); check();
		if :: online = WRITER :: online = 0 :: online = READERS - 1 :: online = NOBODY fi }
	:: atomic { !heal && crashes < CRASHES ->
		crashes++;
		if :: online == WRITER -> leave(); online = NOBODY :: else fi;
		fresh = true; ring[0] = 0; ring[1] = 0; taken[0] = false; taken[1] = false; ack[0] = 0;
#if READERS == 2
		ack[1] = 0;
#endif
		check() }
	:: atomic { !heal && amnesias < AMNESIAS -> amnesias++; vow = 0; leave(); online = NOBODY;
		index[0] = 0; index[1] = 0; slot[0] = 0; slot[1] = 0; head = 0; vec[0] = 0; standing[0] = false;
#if READERS == 2
		vec[1] = 0; standing[1] = false
#endif
		}
	:: atomic { !heal && lapses < LAPSES && slot[0] -> lapses++; slot[0] = 0; vow = 0 }
	:: atomic { !heal -> heal = true }
	:: atomic { heal && online == NOBODY -> online = WRITER }
	:: atomic { heal && online < READERS && READER_QUIET(online) -> online = online + 1 }
	:: atomic { heal && online == WRITER && open && phase == Idle && idle && head == tip && HEARD && !CLEARABLE && LOOKED ->
		leave(); online = 0 }
	od
}

/* Time goes on when nobody has anything left to do: a run that is stuck is not a run that has ended well. */
proctype Clock() {
end:	do
	:: heal
	od
}

init { byte r; atomic { run Clock(); run Writer(); run World(); do :: r < READERS -> run Reader(r); r++ :: else -> break od } }

#define EMPTY (!slot[0] && !slot[1] && !index[0] && !index[1])
#define DONE  (EMPTY && held[0] == tip && held[READERS - 1] == tip)
ltl arrives { <> heal -> <> [] DONE }
