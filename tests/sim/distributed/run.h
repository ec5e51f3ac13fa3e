/* run: one run of the simulation, from its seed alone. For main.c. */
#ifndef SIM_DISTRIBUTED_RUN_H
#define SIM_DISTRIBUTED_RUN_H

#include "base/base.h"

struct run_result {
    uint64_t hash; /* of its trace */
    uint64_t events;
    size_t violations;
    char first[400]; /* the first violation; "" */
};

struct run_result run(uint64_t seed);

#endif
