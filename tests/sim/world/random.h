/* random: the numbers of a simulated run, all from one 64-bit seed.
 *
 * xoshiro256** (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2018),
 * its state filled by splitmix64, as its authors advise. For the simulations: nothing in a run
 * may come from anywhere else (time, addresses, threads). */
#ifndef SIM_RANDOM_H
#define SIM_RANDOM_H

#include "base/base.h"

struct random {
    uint64_t words[4];
};

void random_begin(struct random *random, uint64_t seed);
uint64_t random_next(struct random *random);
/* 0 … bound - 1; bound > 0. */
uint64_t random_below(struct random *random, uint64_t bound);
/* From `low` to `high`, both included. */
int64_t random_between(struct random *random, int64_t low, int64_t high);
/* True `times` times `of` so many. */
bool random_chance(struct random *random, uint64_t times, uint64_t of);

#endif
