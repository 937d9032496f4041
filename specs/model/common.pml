/* common.pml: sets of seqs as bits, for at most three events of one origin. */
#define BIT(s)       (1 << ((s) - 1))
#define MASK(n)      ((1 << (n)) - 1)
#define PREFIX(m)    ((((m) & 1) == 1) + (((m) & 3) == 3) + (((m) & 7) == 7))
#define TOP(m)       (((m) > 0) + ((m) > 1) + ((m) > 3))
#define IS_PREFIX(m) ((m) == MASK(PREFIX(m)))
