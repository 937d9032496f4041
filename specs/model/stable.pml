/* stable.pml: two members and one that joins read the stable order while a third device goes away, and is closed.
 *
 * Says:      of each event of the device that goes, all that have read past its place have read the same: that it stands there,
 *            or that it does not (S10).
 * Clauses:   P6.3, P13.3, P13.4, P13.5.
 * Abstracts: time is a number that grows; the device that goes writes at the present, above its own promises. What it has
 *            written and promised reaches each of the others at any time, together or the events alone, or never; they pass
 *            events on. Promises of the members themselves are taken to be ahead of everything: only D holds anybody back.
 *            A statement is made once, at any time, and is learnt at any later one. W is let in by the second member, and so
 *            knows what that one said before.
 */
#ifndef EVENTS
#define EVENTS 2
#endif
#ifndef TIMES
#define TIMES 4
#endif
#ifndef JOINS
#define JOINS 1
#endif

#define W 2               /* 0 is the root, 1 the other member, 2 joins */
#define NONE 0
#define STANDS 1
#define AWAY 2

byte now = 1, seq, promise, at[EVENTS + 1];       /* D: its time, its log */
byte held[3], believed[3], read[3];               /* of D: events held, the newest promise of use; how far was read */
bool stated[3];
byte saidseq[3], saidpromise[3];                  /* `close` */
bool knows[9];                                    /* [3 * who + whose]: a statement has arrived */
bool in, asked;                                   /* W is let in; before the second member closed */
byte verdict[EVENTS + 1];                         /* ghost */

#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define KNOWS(i, j) (stated[j] && ((i) == (j) || knows[3 * (i) + (j)]))

#ifdef M_ONE_CLOSES       /* one word is enough */
#define CLOSED(i) (KNOWS(i, 0) || KNOWS(i, 1))
#else
#ifdef M_JOINER_NOT_ASKED /* only the members that were there from the beginning close */
#define CLOSED(i) (KNOWS(i, 0) && KNOWS(i, 1))
#else
#define CLOSED(i) (KNOWS(i, 0) && KNOWS(i, 1) && (!asked || KNOWS(i, W)))
#endif
#endif

#define SEQ(i, j)   (KNOWS(i, j) -> saidseq[j] : 0)
#define CUT(i)      MAX(MAX(SEQ(i, 0), SEQ(i, 1)), (asked -> SEQ(i, W) : 0))
#define PROM(i, j)  ((KNOWS(i, j) && held[i] >= saidseq[j]) -> saidpromise[j] : 0)
#define STATED(i)   MAX(MAX(PROM(i, 0), PROM(i, 1)), (asked -> PROM(i, W) : 0))
#define OWN(i)      MAX(believed[i], at[held[i]])

#ifdef M_BELIEVES_ON      /* who has closed an origin goes on believing its promises */
#define FROZEN(i) false
#else
#define FROZEN(i) (stated[i] || ((i) == W && !asked))
#endif

inline decide(i, upto) {
  n = 1;
  do
  :: n <= EVENTS && at[n] > read[i] && at[n] <= upto ->
       v = ((held[i] >= n && (!CLOSED(i) || n <= CUT(i))) -> STANDS : AWAY);
       assert(verdict[n] == NONE || verdict[n] == v);
       verdict[n] = v; n++
  :: n <= EVENTS && !(at[n] > read[i] && at[n] <= upto) -> n++
  :: n > EVENTS -> break
  od;
  read[i] = upto
}

init {
  byte i, j, n, v, limit;
  do
  :: atomic { now < TIMES -> now++ }
  :: atomic { seq < EVENTS && now > promise && now > at[seq] ->
       seq++; at[seq] = now;
       if
       :: read[0] >= now || read[1] >= now || read[W] >= now -> verdict[seq] = AWAY
       :: else
       fi }
  :: atomic { promise < now -> promise = now }
  :: atomic { select (i : 0..1 + JOINS); select (j : 0..1);
       held[i] = seq;                             /* from D */
       if
       :: j -> believed[i] = promise
       :: else
       fi; i = 0; j = 0 }
  :: atomic { select (i : 0..1 + JOINS); select (j : 0..1 + JOINS);
       held[i] = MAX(held[i], held[j]); i = 0; j = 0 }
  :: atomic { select (i : 0..1 + JOINS);
       if
       :: !stated[i] && (i != W || (in && asked)) ->
            stated[i] = true; saidseq[i] = held[i]; saidpromise[i] = MAX(OWN(i), read[i])
       :: else
       fi; i = 0 }
  :: atomic { select (i : 0..1 + JOINS); select (j : 0..1 + JOINS);
       if
       :: stated[j] && i != j -> knows[3 * i + j] = true
       :: else
       fi; i = 0; j = 0 }
  :: atomic { JOINS && !in -> in = true; asked = !stated[1]; knows[3 * W + 1] = stated[1] }
  :: atomic { select (i : 0..1 + JOINS);
       if
       :: i == W && !in -> limit = 0
       :: else ->
            if
            :: CLOSED(i) && held[i] >= CUT(i) -> limit = TIMES
            :: else ->
                 if
                 :: CLOSED(i) || FROZEN(i) -> limit = STATED(i)
                 :: else -> limit = OWN(i)
                 fi
            fi
       fi;
       if
       :: limit > read[i] -> decide(i, limit)
       :: else
       fi; i = 0; j = 0; n = 0; v = 0; limit = 0 }
  od
}
