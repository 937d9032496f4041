/* pull.pml: appending, heads and vectors, wants and fills, crashes, a broker that loses, repeats, reorders and forgets.
 *
 * Says:      S1, S3, S5, S6, no event stored twice; L1 and the lags of L3 once links stay up.
 * Clauses:   P4.5, P6.3, P6.4, P7.3 to P7.8; storage T2.3, T5.1 to T5.3; "durable BEFORE any Publish".
 * Abstracts: an event is a number, its content is what was given out under it; a batch is its events one by one; chain and
 *            signatures hold. What was ever sent may be delivered at any later time, any number of times, in any
 *            order, or never: that is loss, repetition, reordering, stale resends and the spool beyond a gap in one. A
 *            retained slot is the value that stands on the broker; a counter is the value itself, which only grows here.
 */
#include "common.pml"

#ifndef DEVICES
#define DEVICES 2
#endif
#ifndef EVENTS_A          /* how many events each device may append */
#define EVENTS_A 2
#endif
#ifndef EVENTS_B
#define EVENTS_B 1
#endif
#ifndef EVENTS_C
#define EVENTS_C 0
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef AMNESIAS
#define AMNESIAS 1
#endif

#define CELLS      (DEVICES * DEVICES)
#define AT(d, o)   ((d) * DEVICES + (o))
#define UP(d)      ((online >> (d)) & 1)
#define MAX_OF(d)  (d == 0 -> EVENTS_A : (d == 1 -> EVENTS_B : EVENTS_C))
#define HAVE(d, o) PREFIX(disk[AT(d, o)])
#define ANSWERED   (DEVICES + 1)
#define LOST       (DEVICES + 2)

byte disk[CELLS];      /* durable: bits of seqs; survives a crash */
byte staged[CELLS];    /* verified and on its way into the store; lost in a crash */
byte vec[CELLS];       /* the broker's retained slots of d: its head (o = d) and its vector */
byte said[CELLS];      /* bits: every acknowledgement of o's log that d ever published */
byte believed[CELLS];  /* AT(r, a): how much of its own log r believes a to hold */
byte pull[CELLS];      /* 0: not asking; e + 1: asked e; ANSWERED: fills are under way; LOST: they, or the want, are not */
byte sent[DEVICES];    /* bits of seqs of o that ever left in a live message, a fill or a segment */
byte told[DEVICES];    /* ghost: appends of d that were acknowledged to the person */
byte online;           /* bits: who is connected */
byte crashes, amnesias;
bool heal;             /* from now on links stay up (or visits last), and nothing fails */

/* The completeness that is claimed, and what is asked for: not what is on its way into the store. */
#ifdef M_MAX_SEQ
#define CLAIM(d, o) TOP(disk[AT(d, o)])
#define SOON(d, o)  TOP(disk[AT(d, o)] | staged[AT(d, o)])
#else
#define CLAIM(d, o) HAVE(d, o)
#define SOON(d, o)  PREFIX(disk[AT(d, o)] | staged[AT(d, o)])
#endif

/* What counts as held when a vector is made. */
#ifdef M_ACK_BEFORE_DURABLE
#define HOLDS(d, o) PREFIX(disk[AT(d, o)] | staged[AT(d, o)])
#else
#define HOLDS(d, o) CLAIM(d, o)
#endif

/* What may be told of the own log. */
#ifdef M_PUBLISH_BEFORE_DURABLE
#define TELLS(d) PREFIX(disk[AT(d, d)] | staged[AT(d, d)])
#else
#define TELLS(d) HAVE(d, d)
#endif

#ifdef M_ONLY_AUTHOR_SERVES
#define MAY_SERVE(e, o) (e == o)
#else
#define MAY_SERVE(e, o) true
#endif

#define PUBLISHES(d, o) (d == o -> TELLS(d) : HOLDS(d, o))
#define LACKS(d, e, o)  (vec[AT(e, o)] > SOON(d, o))

/* S1, S3. */
inline check(d) {
	assert(told[d] <= HAVE(d, d));
	o = 0;
	do
	:: o < DEVICES -> assert(IS_PREFIX(disk[AT(d, o)])); o++
	:: else -> break
	od;
	o = 0
}

#define NEXT(d, o) (PREFIX(disk[AT(d, o)] | staged[AT(d, o)]) + 1)

/* What the intake takes of what reaches it: the next event; not what is held, nor what lies beyond a gap (P4.5). */
#if defined(M_MAX_SEQ)
#define TAKES(d, o, s) (s > TOP(disk[AT(d, o)] | staged[AT(d, o)]))
#elif defined(M_NO_DEDUP)
#define TAKES(d, o, s) (!(staged[AT(d, o)] & BIT(s)) && s <= NEXT(d, o))
#else
#define TAKES(d, o, s) (s == NEXT(d, o))
#endif

/* Begin an append; it is made durable by `Store`, and acknowledged only then (T5.1). */
#ifdef M_TOLD_BEFORE_DURABLE
#define TELL_EARLY told[d] = HAVE(d, d) + 1
#else
#define TELL_EARLY skip
#endif
#define Append \
	:: atomic { !heal && !staged[AT(d, d)] && HAVE(d, d) < MAX_OF(d) -> \
		assert(!(sent[d] & BIT(HAVE(d, d) + 1)));       /* S5 */ \
		TELL_EARLY; \
		staged[AT(d, d)] = BIT(HAVE(d, d) + 1) }

/* One transaction of the store: an own append, or an ingest. */
#define Store(o) \
	:: atomic { staged[AT(d, o)] -> \
		assert(!(disk[AT(d, o)] & staged[AT(d, o)]));   /* stored once */ \
		disk[AT(d, o)] = disk[AT(d, o)] | staged[AT(d, o)]; \
		staged[AT(d, o)] = 0; \
		if :: o == d -> told[d] = HAVE(d, d) :: else fi; \
		check(d) }

/* Live: own events as they are made (P7.6). */
#define Live \
	:: atomic { UP(d) && (sent[d] | MASK(TELLS(d))) != sent[d] -> sent[d] = sent[d] | MASK(TELLS(d)) }

/* A retained slot, head or vector: written again when the broker holds another value (P7.3 to P7.5). */
#ifdef M_NO_REPUBLISH
#define DUE(d, o) (PUBLISHES(d, o) && !(said[AT(d, o)] & BIT(PUBLISHES(d, o))))
#else
#define DUE(d, o) (vec[AT(d, o)] != PUBLISHES(d, o))
#endif
#define Publish(o) \
	:: atomic { UP(d) && DUE(d, o) -> \
		vec[AT(d, o)] = PUBLISHES(d, o); \
		if :: PUBLISHES(d, o) -> said[AT(d, o)] = said[AT(d, o)] | BIT(PUBLISHES(d, o)) :: else fi }

/* An acknowledgement of the own log, fresh or stale; the highest counts (P6.2, P6.4). */
#define Believe(e, s) \
	:: atomic { UP(d) && e != d && s > believed[AT(d, e)] && (said[AT(e, d)] & BIT(s)) -> \
		assert(s <= HAVE(e, d));                        /* S6 */ \
		believed[AT(d, e)] = s }

/* Ask one holder, whom its slot makes a candidate (P7.7). */
#define Ask(e, o) \
	:: atomic { UP(d) && o != d && e != d && !pull[AT(d, o)] && LACKS(d, e, o) && (UP(e) || !heal) && MAY_SERVE(e, o) -> \
		pull[AT(d, o)] = e + 1 }

/* Answer a want (P7.8). */
#define Answer(e, o) \
	:: atomic { UP(d) && UP(e) && pull[AT(e, o)] == d + 1 -> \
		sent[o] = sent[o] | (MASK(HAVE(d, o)) & ~MASK(HAVE(e, o))); \
		pull[AT(e, o)] = ANSWERED }

/* The answer has come, as far as it came. */
#define Answered(o) \
	:: atomic { pull[AT(d, o)] == ANSWERED && (!heal || !(sent[o] & BIT(NEXT(d, o)))) -> pull[AT(d, o)] = 0 }

/* A want or its answer is lost. Nothing comes in time, or the holder has gone: the next one (P7.8). */
#define Lose(o) \
	:: atomic { !heal && pull[AT(d, o)] && pull[AT(d, o)] <= DEVICES -> pull[AT(d, o)] = LOST }
#ifdef M_NO_TIMEOUT
#define Timeout(o)
#else
#define Timeout(o) \
	:: atomic { pull[AT(d, o)] == LOST || (pull[AT(d, o)] && pull[AT(d, o)] <= DEVICES && !UP(pull[AT(d, o)] - 1)) -> \
		pull[AT(d, o)] = 0 }
#endif

/* The broker delivers something that was sent at some time. */
#define Deliver(o, s) \
	:: atomic { UP(d) && o != d && (sent[o] & BIT(s)) && TAKES(d, o, s) && (!heal || pull[AT(d, o)] == ANSWERED) -> \
		staged[AT(d, o)] = staged[AT(d, o)] | BIT(s) }

#if DEVICES == 3
#define EACH(X)       X(0) X(1) X(2)
#define EACH_PAIR(X)  X(0, 0) X(0, 1) X(0, 2) X(1, 0) X(1, 1) X(1, 2) X(2, 0) X(2, 1) X(2, 2)
#define EACH_EVENT(X) X(0, 1) X(0, 2) X(0, 3) X(1, 1) X(1, 2) X(1, 3) X(2, 1) X(2, 2) X(2, 3)
#else
#define EACH(X)       X(0) X(1)
#define EACH_PAIR(X)  X(0, 0) X(0, 1) X(1, 0) X(1, 1)
#define EACH_EVENT(X) X(0, 1) X(0, 2) X(0, 3) X(1, 1) X(1, 2) X(1, 3)
#endif

/* Every action changes something, so a device comes to rest by itself; once `heal`, each brings it nearer to rest. */
proctype Device(byte d) {
	byte o;
end:	do
	Append
	Live
	EACH(Store)
	EACH(Publish)
	EACH(Answered)
	EACH(Lose)
	EACH(Timeout)
	EACH_PAIR(Ask)
	EACH_PAIR(Answer)
	EACH_EVENT(Believe)
	EACH_EVENT(Deliver)
	od
}

/* Nobody who is connected has anything left to do. */
inline look_quiet() {
	quiet = true; d = 0;
	do
	:: d < DEVICES ->
		o = 0;
		do
		:: o < DEVICES ->
			quiet = quiet && !staged[AT(d, o)];
			quiet = quiet && !(UP(d) && (vec[AT(d, o)] != PUBLISHES(d, o) || pull[AT(d, o)]));
			quiet = quiet && !(UP(d) && d != o && believed[AT(d, o)] < vec[AT(o, d)]);
			e = 0;
			do
			:: e < DEVICES ->
				quiet = quiet && !(UP(d) && UP(e) && o != d && LACKS(d, e, o) && MAY_SERVE(e, o)); e++
			:: else -> break
			od; o++
		:: else -> break
		od; d++
	:: else -> break
	od;
	d = 0; o = 0; e = 0
}

inline stop(d) {
	o = 0;
	do
	:: o < DEVICES -> staged[AT(d, o)] = 0; pull[AT(d, o)] = 0; o++
	:: else -> break
	od;
	o = 0
}

inline forget() {
	o = 0;
	do
	:: o < CELLS -> vec[o] = 0; o++
	:: else -> break
	od;
	o = 0
}

#if DEVICES == 3
#define MEETINGS if :: online = 0 :: online = 1 :: online = 2 :: online = 3 :: online = 4 :: online = 6 fi
#else
#define MEETINGS if :: online = 0 :: online = 1 :: online = 2 :: online = 3 fi
#endif
#define FIRST_VISIT 3   /* A and B; with three devices then B and C, and so on: A and C never meet */

proctype World() {
	byte d, o, e;
	bool quiet;
end:	do
	:: atomic { !heal && crashes < CRASHES -> select(d : 0 .. DEVICES - 1); crashes++; stop(d); d = 0 }
	:: atomic { !heal && amnesias < AMNESIAS -> amnesias++; forget() }
	:: atomic { !heal -> MEETINGS }
	:: atomic { !heal -> heal = true; online = FIRST_VISIT }
#if DEVICES == 2
	:: heal                 /* time goes on when nobody has anything left to do */
#else
	:: atomic { heal ->
		look_quiet();
		if
		:: quiet -> online = 9 - online; quiet = false
		:: else
		fi }
#endif
	od
}

init {
	byte d;
	atomic {
		do
		:: d < DEVICES -> run Device(d); d++
		:: else -> break
		od;
		run World()
	}
}

#if DEVICES == 3
#define EQUAL(o) (HAVE(0, o) == HAVE(1, o) && HAVE(1, o) == HAVE(2, o))
#define CONVERGED (EQUAL(0) && EQUAL(1) && EQUAL(2))
#else
#define EQUAL(o) (HAVE(0, o) == HAVE(1, o))
#define CONVERGED (EQUAL(0) && EQUAL(1) && believed[AT(0, 1)] == HAVE(0, 0) && believed[AT(1, 0)] == HAVE(1, 1))
#endif

ltl converges { <> heal -> <> [] CONVERGED }
