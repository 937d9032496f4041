/* incarnation.pml: a writer whose folder is restored from a backup, or cloned; a holder; and the broker between them.
 *
 * Says:      what the broker shows of a rollback is never overwritten unseen (the reason of S8); once seen, nothing more is given
 *            out or told under the old origin (S5); an acknowledgement believed is true of that very history (S6);
 *            both branches reach everybody under the same names (S1, S2, L1).
 * Clauses:   P2.2, P2.4, P4.5 to P4.9, P6.4, P7.1, P7.2.
 * Abstracts: the origin has two possible histories: OLD, and NEW, which is given out under the same seqs after the folder
 *            was restored to `base`; they are equal up to there. c[seq] is the history and the seq. An origin of a later
 *            incarnation is its hello. Writer 0 writes OLD; writer 1, the restored or cloned folder, writes NEW. Who is online
 *            answers a want at once and wholly; what it claims is what it holds, or less while things go wrong.
 */
#ifndef EVENTS            /* seqs of the origin, in each history */
#define EVENTS 2
#endif
#ifndef AMNESIAS          /* the broker forgets everything */
#define AMNESIAS 1
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
/* CLONED: writer 0 lives on beside writer 1. Otherwise its disk is gone. */

#define OLD 0
#define NEW 1
#define HOLDER 2
#define DEVICES 3
#define AT(d, h) ((d) * 2 + (h))

/* disks: how far each history is held; NEW is 0 until it is held beyond base */
byte upto[6];
byte hellos[DEVICES];     /* bits: hellos of later incarnations: 1 writer 0's, 2 writer 1's */
bool reopened[2];         /* the writer has opened a new incarnation, durably */

/* the broker: the origin's head and mailbox, as (history, length); a length of 0 is an empty slot */
byte head_len, ring_len, ack_len;
bit head_of, ring_of, ack_of;   /* ack: the holder's vector entry of the origin */
byte ack_derived;               /* and of its derived origin */

/* memory */
bool online[DEVICES], fenced[2], noticed[2], alive[DEVICES];
bool saw[2];              /* ghost: on this connection the broker showed more than the writer held */
byte believed[2];         /* how much of its own log a writer takes the holder to have */

byte base, vow;           /* vow, a ghost: `flush` called OLD safe in the broker up to here */
bit wins;                 /* the history whose c at base + 1 is smaller */
bit first_held[DEVICES];
byte crashes, amnesias, used;
bool split, heal;         /* split: writer 1 exists */

#define HOLDS(d, h)  (upto[AT(d, h)] > base)
#define FORKED(d)    (split && HOLDS(d, OLD) && HOLDS(d, NEW))
#ifdef M_FIRST_COME
#define WINS(d)      first_held[d]
#else
#define WINS(d)      wins
#endif
/* The history that has the origin's id on a device (P4.6): the winner of both, else the only one. */
#define NAMED(d)     (split && HOLDS(d, NEW) && (WINS(d) == NEW || !HOLDS(d, OLD)))
#define SEQ(d)       upto[AT(d, NAMED(d))]
#define COVERS(d, h, l) ((l) <= upto[AT(d, h)] || ((l) <= base && (l) <= upto[AT(d, OLD)]))
#define AHEAD(d)     (!COVERS(d, head_of, head_len) || !COVERS(d, ring_of, ring_len))

/* What one device's claim (h, l) makes another ask for: a higher seq, or other bytes at a seq that it holds (P4.9). */
#ifdef M_NO_EVIDENCE
#define LACKS(d, h, l) ((l) > SEQ(d))
#else
#define LACKS(d, h, l) (!COVERS(d, h, l))
#endif
#ifdef M_NO_STEP_BACK     /* a run whose prev differs is dropped */
#define PLACED(d, h, l) ((h) == NAMED(d) || SEQ(d) <= base)
#else
#define PLACED(d, h, l) true
#endif

/* S1 for what was flushed. */
#define SAFE ((alive[0] && upto[AT(0, OLD)] >= vow) || (alive[1] && upto[AT(1, OLD)] >= vow) || \
	upto[AT(2, OLD)] >= vow || (ring_of == OLD && ring_len >= vow))

#ifdef M_SAME_INCARNATION
#define INCARNATION(d) 1
#else
#define INCARNATION(d) (1 << (d))
#endif

/* Store a history up to l. A fork, or more of the own origin than was held, opens an incarnation in the same transaction (T6.2). */
inline store(x, h, l) {
	if
	:: split && l > base && !HOLDS(x, OLD) && !HOLDS(x, NEW) -> first_held[x] = h
	:: else
	fi;
	if
	:: l > upto[AT(x, h)] -> upto[AT(x, h)] = l
	:: else
	fi;
	if
	:: h == NEW && upto[AT(x, OLD)] < base -> upto[AT(x, OLD)] = base
	:: else
	fi
}
inline reopen(x) {
	if
	:: !reopened[x] ->
		assert(!(used & INCARNATION(x)));               /* S2: no two hellos under one id */
		used = used | INCARNATION(x); reopened[x] = true; hellos[x] = hellos[x] | (1 << x)
	:: else
	fi;
	noticed[x] = false; saw[x] = false
}
#ifdef M_NO_FENCE
#define LATE false
#else
#define LATE true
#endif

#ifdef M_REUSE            /* catches up, and goes on in the same incarnation */
#define REOPEN(d) skip
#else
#define REOPEN(d) reopen(d)
#endif

#ifdef M_PUBLISH_WHILE_REOPENING
#define MAY_TELL(d) (online[d] && fenced[d] && !reopened[d])
#else
#define MAY_TELL(d) (online[d] && fenced[d] && !reopened[d] && !noticed[d] && (!heal || !AHEAD(d)))   /* P7.3: seen, then written */
#endif

#define MINE(d) (d == OLD -> NAMED(d) == OLD : split && (NAMED(d) == NEW || upto[AT(d, OLD)] <= base))
#ifdef CLONED             /* two that write the same slots at the same time cannot always see each other first */
#define UNSEEN(d) false
#else
#define UNSEEN(d) AHEAD(d)
#endif

#ifdef M_NO_HASH
#define ACKS(d) ack_len
#else
#define ACKS(d) (ack_of == d -> ack_len : (ack_derived && ack_of != d -> ack_derived : (ack_len <= base -> ack_len : 0)))
#endif

/* Pull the origin, its derived origin (known only beside the origin that it left), and hellos, from another device. */
#define Pull(d, e) \
	:: atomic { d != e && online[d] && online[e] && \
			LACKS(d, NAMED(e), SEQ(e)) && PLACED(d, NAMED(e), SEQ(e)) && !COVERS(d, NAMED(e), SEQ(e)) -> \
		store(d, NAMED(e), SEQ(e)); \
		if :: d < HOLDER -> REOPEN(d) :: else fi } \
	:: atomic { d != e && online[d] && online[e] && FORKED(e) && HOLDS(d, NAMED(e)) && \
			upto[AT(e, 1 - NAMED(e))] > upto[AT(d, 1 - NAMED(e))] -> \
		store(d, 1 - NAMED(e), upto[AT(e, 1 - NAMED(e))]); \
		if :: d < HOLDER -> REOPEN(d) :: else fi } \
	:: atomic { d != e && online[d] && online[e] && (hellos[e] & ~hellos[d]) -> \
		hellos[d] = hellos[d] | hellos[e] }

proctype Writer(bit d) {
end:	do
	/* append, online or not; the program reads in the same transaction which incarnation is current (T5.3) */
	:: atomic { !heal && alive[d] && !reopened[d] && MINE(d) && upto[AT(d, d)] < EVENTS && (d == OLD || base < EVENTS) ->
		assert(!saw[d] || noticed[d]);                  /* S5; another process may append while the daemon reopens */
		if
		:: HOLDS(d, d) || d == OLD -> store(d, d, upto[AT(d, d)] + 1)
		:: else -> store(d, d, base + 1)
		fi }

	/* the fence: everything the broker holds of the own origin has been seen; a hurried device has seen nothing */
	:: atomic { alive[d] && online[d] && !fenced[d] ->
		fenced[d] = true;
		saw[d] = !reopened[d] && AHEAD(d);
#ifndef M_NO_FENCE
		noticed[d] = saw[d]
#endif
		}
	/* a later sighting (P7.2) */
	:: atomic { alive[d] && online[d] && fenced[d] && !reopened[d] && !noticed[d] && AHEAD(d) && LATE -> noticed[d] = true }

	/* fetch from the own ring what is missing, and open an incarnation: one transaction, or two with a crash between */
	:: atomic { alive[d] && noticed[d] -> REOPEN(d); noticed[d] = false }
	:: atomic { alive[d] && online[d] && ring_len && !COVERS(d, ring_of, ring_len) && fenced[d] ->
		store(d, ring_of, ring_len); REOPEN(d) }

	/* own slots of the origin: head, and the mailbox with a flush */
	:: atomic { alive[d] && MAY_TELL(d) && NAMED(d) == d && SEQ(d) && !(head_of == d && head_len == SEQ(d)) ->
		assert(!UNSEEN(d));                             /* why S8 */
		head_of = d; head_len = SEQ(d) }
	:: atomic { alive[d] && MAY_TELL(d) && NAMED(d) == d && SEQ(d) && !(ring_of == d && ring_len == SEQ(d)) &&
			believed[d] < SEQ(d) ->
		assert(!UNSEEN(d));                             /* why S8 */
		ring_of = d; ring_len = SEQ(d);
		if
		:: d == OLD && ring_len > vow -> vow = ring_len
		:: else
		fi;
		assert(SAFE) }

	/* an acknowledgement counts when its bytes are those of the own history (P6.4) */
	:: atomic { alive[d] && online[d] && NAMED(d) == d && ack_len && believed[d] < ACKS(d) && ACKS(d) <= upto[AT(d, d)] ->
		believed[d] = ACKS(d);
		assert(COVERS(HOLDER, d, believed[d])) }        /* S6 */
	Pull(d, 0)
	Pull(d, 1)
	Pull(d, 2)
	od
}

#define DERIVED (FORKED(HOLDER) -> upto[AT(HOLDER, 1 - NAMED(HOLDER))] : 0)
proctype Holder() {
end:	do
	:: atomic { online[HOLDER] && ring_len && LACKS(HOLDER, ring_of, ring_len) && PLACED(HOLDER, ring_of, ring_len) &&
			!COVERS(HOLDER, ring_of, ring_len) ->
		store(HOLDER, ring_of, ring_len) }
	:: atomic { online[HOLDER] && (ack_of != NAMED(HOLDER) || ack_len != SEQ(HOLDER) || ack_derived != DERIVED) ->
		ack_of = NAMED(HOLDER); ack_len = SEQ(HOLDER); ack_derived = DERIVED }
	Pull(HOLDER, 0)
	Pull(HOLDER, 1)
	od
}

inline offline(x) {
	online[x] = false;
	if
	:: x < HOLDER -> fenced[x] = false; noticed[x] = false; saw[x] = false
	:: else
	fi
}

/* Restore the folder to what it was after n events: writer 1 takes the place of writer 0, or its place beside it. */
#define Split(n) \
	:: atomic { !heal && !split && n <= upto[AT(0, OLD)] -> \
		split = true; base = n; alive[1] = true; upto[AT(1, OLD)] = base; \
		if :: wins = OLD :: wins = NEW fi; \
		LEAVE }
#ifdef CLONED
#define LEAVE skip
#else
#define LEAVE offline(0); alive[0] = false; assert(SAFE)
#endif

#define Link(d) \
	:: atomic { !heal && alive[d] && !online[d] -> online[d] = true } \
	:: atomic { !heal && online[d] -> offline(d) }

proctype World() {
end:	do
	Split(0)
	Split(1)
	Split(2)
	Link(0)
	Link(1)
	Link(2)
	:: atomic { !heal && crashes < CRASHES -> crashes++; if :: offline(0) :: offline(1) fi }
	:: atomic { !heal && amnesias < AMNESIAS -> amnesias++; vow = 0;
		head_len = 0; ring_len = 0; ack_len = 0; ack_derived = 0; head_of = OLD; ring_of = OLD; ack_of = OLD }
	:: atomic { !heal -> heal = true; online[0] = alive[0]; online[1] = alive[1]; online[2] = true }
	:: heal                 /* time goes on when nobody has anything left to do */
	od
}

init { atomic { alive[0] = true; alive[2] = true; run Writer(0); run Writer(1); run Holder(); run World() } }

#define SAME(d, e) (!alive[d] || !alive[e] || (upto[AT(d, OLD)] == upto[AT(e, OLD)] && upto[AT(d, NEW)] == upto[AT(e, NEW)] && \
	hellos[d] == hellos[e] && NAMED(d) == NAMED(e)))
#define DRAINED (COVERS(HOLDER, ring_of, ring_len))
#define CONVERGED (SAME(0, 2) && SAME(1, 2) && DRAINED)
ltl converges { <> heal -> <> [] CONVERGED }
