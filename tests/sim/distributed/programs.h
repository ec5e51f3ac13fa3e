/* programs: the nodes and workers of a run: the product's issuers (src/issuer/redis*.c, sql.c) and
 * worker (src/worker), started, stopped, killed and paused. For people.c, who use them, and
 * trouble.c. */
#ifndef SIM_DISTRIBUTED_PROGRAMS_H
#define SIM_DISTRIBUTED_PROGRAMS_H

#include "issuer/issuer.h"
#include "sim/distributed/scheduler.h"

enum program_kind { PROGRAM_NODE, PROGRAM_WORKER };

struct program {
    struct program *next;
    enum program_kind kind;
    unsigned number;
    struct process *process; /* of its present life */
    struct issuer *issuer;   /* of a node that is started; else NULL */
    struct worker *worker;   /* of a worker that is started */
    bool stopping;
    int64_t answer_timeout_us;
};

/* with_redis false: nodes of SQL mode. */
void programs_begin(unsigned node_count, unsigned worker_count, bool with_redis);
struct program *programs_first(void);
struct program *program_of(const struct process *process);
/* Any of them that is alive, paused ones too; NULL. */
struct program *program_any(enum program_kind kind);

/* A killed or stopped one is started again after a while. */
void program_kill(struct program *program);
void program_stop(struct program *program); /* as SIGTERM */
void program_pause(struct program *program, int64_t for_us);
void programs_resume(void);          /* all that are paused; at once */
uint64_t programs_settlements(void); /* of the workers that ended by themselves, in all runs */

#endif
