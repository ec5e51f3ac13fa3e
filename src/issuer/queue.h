/* queue: jobs on their way from the loops to the writer. Bounded; claims before commands.
 * Any thread pushes, the writer takes. Internal to issuer/. */
#ifndef COUPON_ISSUER_QUEUE_H
#define COUPON_ISSUER_QUEUE_H

#include "issuer/issuer.h"

#include <pthread.h>
#include <stdatomic.h>

/* Commands that may wait at once: so many of operators, and so many of everybody else. Apart,
 * so that a crowd that reads cannot keep an operator from pausing a coupon. */
#define QUEUE_COMMANDS_MAX 1024

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t not_empty;
    struct job_list claims;
    struct job_list operators; /* creations, changes, the list: go before … */
    struct job_list readers;   /* … reads that anyone may ask for */
    size_t claims_max;
    size_t operator_count;
    size_t reader_count;
    _Atomic size_t claim_count;
    bool closed;
};

void queue_init(struct queue *queue, size_t claims_max);
void queue_done(struct queue *queue); /* empty by then */

/* STATUS_FULL, or STATUS_STOPPED after queue_close. A batch larger than claims_max is
 * taken when the queue is empty. */
int MUST_CHECK queue_push(struct queue *queue, struct job *job);
/* Puts back a command that wants another turn; never refused. Writer only. */
void queue_push_again(struct queue *queue, struct job *job);
/* Takes what one step does: claim batches of together at most CLAIM_BATCH_MAX claims and,
 * after them, at most one command. Waits until there is something, `wait_us` have passed
 * (negative: for ever), or the queue is closed. False when closed and empty. */
bool queue_take(struct queue *queue, int64_t wait_us, struct job_list *ret_claims,
                struct job **ret_command);
bool queue_is_empty(struct queue *queue);
void queue_close(struct queue *queue);

#endif
