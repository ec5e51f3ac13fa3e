/* The generator of random.h. For the simulations. */
#include "sim/world/random.h"

/* splitmix64 (Sebastiano Vigna, public domain description). */
static uint64_t splitmix(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t word, unsigned bits) {
    return word << bits | word >> (64 - bits);
}

void random_begin(struct random *random, uint64_t seed) {
    for (size_t i = 0; i < COUNT_OF(random->words); i++) {
        random->words[i] = splitmix(&seed);
    }
}

uint64_t random_next(struct random *random) {
    uint64_t *words = random->words;
    uint64_t drawn = rotate(words[1] * 5, 7) * 9;
    uint64_t shifted = words[1] << 17;
    words[2] ^= words[0];
    words[3] ^= words[1];
    words[1] ^= words[2];
    words[0] ^= words[3];
    words[2] ^= shifted;
    words[3] = rotate(words[3], 45);
    return drawn;
}

uint64_t random_below(struct random *random, uint64_t bound) {
    assert(bound > 0);
    return (uint64_t)((unsigned __int128)random_next(random) * bound >> 64);
}

int64_t random_between(struct random *random, int64_t low, int64_t high) {
    assert(low <= high);
    return (int64_t)((uint64_t)low + random_below(random, (uint64_t)high - (uint64_t)low + 1));
}

bool random_chance(struct random *random, uint64_t times, uint64_t of) {
    return random_below(random, of) < times;
}
