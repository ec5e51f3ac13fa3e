/* The issuer that all designs share: a pool of threads, as web servers have one. A thread takes
 * one job, waits for the servers as often as the design asks them, answers, and takes the next;
 * what the threads do to each other meanwhile is the design's business. Not for: deciding. Called
 * by main.c, and by the api through struct issuer_operations. */
#include "strategy.h"

#include <pthread.h>
#include <stdlib.h>

#define CLAIMS_WAITING_MAX 65536

/* A thread and what it works with. */
struct seat {
    struct pool *pool;
    struct desk desk;
    pthread_t thread;
};

struct pool {
    struct issuer issuer; /* first */
    struct pool_options options;
    pthread_mutex_t lock;
    pthread_cond_t not_empty;
    struct job_list jobs; /* guarded by lock, as are the next two */
    size_t waiting;
    bool closed;
    struct seat *seats; /* options.threads */
    unsigned started;
    struct drain *drain;
    _Atomic int state;
};

/* ---- connections ---- */

int desk_open(struct desk *desk) {
    int status = sql_open(desk);
    return status || !desk->strategy->uses_redis ? status : redis_open(desk);
}

void desk_close(struct desk *desk) {
    sql_close(desk);
    redis_close(desk);
}

/* ---- a thread ---- */

static void note_failure(struct desk *desk, int status) {
    if (status && !desk->failed) { /* once, and not for every claim of an outage */
        log_event(LOG_WARN, "claim-failed", LOG_TEXT("why", desk->why.text),
                  LOG_TEXT("hint", "claims get 503 until it works"));
    }
    desk->failed = status != STATUS_OK;
}

static void do_claim(struct desk *desk, struct claim *claim) {
    int status = desk->strategy->claim(desk, claim);
    if (status == STATUS_NOT_FOUND) {
        claim->verdict = VERDICT_NO_SUCH_COUPON;
        status = STATUS_OK;
    } else if (status) {
        claim->verdict = VERDICT_STORAGE_UNAVAILABLE;
    }
    note_failure(desk, status);
}

static void do_job(struct desk *desk, struct job *job) {
    if (job->kind == JOB_CLAIMS) {
        struct claim_batch *batch = (struct claim_batch *)job;
        for (size_t i = 0; i < batch->count; i++) {
            do_claim(desk, &batch->claims[i]);
        }
    } else {
        struct command *command = (struct command *)job;
        command->status = tables_command(desk, command);
    }
    job->done(job);
}

/* NULL: closed, and nothing waits. */
static struct job *take(struct pool *pool) {
    pthread_mutex_lock(&pool->lock);
    while (!pool->jobs.first && !pool->closed) {
        pthread_cond_wait(&pool->not_empty, &pool->lock);
    }
    struct job *job = job_list_pop(&pool->jobs);
    pool->waiting -= job ? 1 : 0;
    pthread_mutex_unlock(&pool->lock);
    return job;
}

static void *work(void *context) {
    struct seat *seat = context;
    struct job *job;
    while ((job = take(seat->pool)) != NULL) {
        do_job(&seat->desk, job);
    }
    return NULL;
}

/* ---- any thread ---- */

static int pool_submit(struct issuer *issuer, struct job *job) {
    struct pool *pool = (struct pool *)issuer;
    int status = STATUS_OK;
    pthread_mutex_lock(&pool->lock);
    if (pool->closed) {
        status = STATUS_STOPPED;
    } else if (pool->waiting == CLAIMS_WAITING_MAX) {
        status = STATUS_FULL;
    } else {
        pool->waiting++;
        job_list_push(&pool->jobs, job);
    }
    pthread_mutex_unlock(&pool->lock);
    if (status == STATUS_OK) {
        pthread_cond_signal(&pool->not_empty);
    }
    return status;
}

static struct digest pool_user_digest(const struct issuer *issuer, struct slice user_id) {
    (void)issuer;
    (void)user_id;
    return (struct digest){0};
}

static enum issuer_state pool_state(const struct issuer *issuer) {
    return (enum issuer_state)atomic_load(&((const struct pool *)issuer)->state);
}

/* Nothing is published; the table is asked by a command. */
static int pool_coupon(const struct issuer *issuer, uint64_t coupon_id,
                       struct coupon_record *ret_coupon) {
    (void)issuer;
    (void)coupon_id;
    (void)ret_coupon;
    return STATUS_NOT_FOUND;
}

static size_t pool_quantities(const struct issuer *issuer, uint64_t after_id, size_t limit,
                              struct coupon_quantities *ret_quantities) {
    (void)issuer;
    (void)after_id;
    (void)limit;
    (void)ret_quantities;
    return 0;
}

static struct issuer_figures pool_figures(const struct issuer *issuer) {
    (void)issuer;
    return (struct issuer_figures){0};
}

static void pool_hurry(struct issuer *issuer) {
    (void)issuer;
}

/* ---- start and end ---- */

static int pool_stop(struct issuer *issuer, struct complaint *complaint) {
    struct pool *pool = (struct pool *)issuer;
    (void)complaint;
    pthread_mutex_lock(&pool->lock);
    pool->closed = true;
    pthread_mutex_unlock(&pool->lock);
    pthread_cond_broadcast(&pool->not_empty);
    for (unsigned i = 0; i < pool->started; i++) {
        pthread_join(pool->seats[i].thread, NULL);
    }
    drain_stop(pool->drain);
    atomic_store(&pool->state, ISSUER_STOPPING);
    return STATUS_OK;
}

static void pool_free(struct issuer *issuer) {
    struct pool *pool = (struct pool *)issuer;
    for (unsigned i = 0; pool->seats && i < pool->options.threads; i++) {
        desk_close(&pool->seats[i].desk);
    }
    pthread_cond_destroy(&pool->not_empty);
    pthread_mutex_destroy(&pool->lock);
    free(pool->seats);
    free(pool);
}

static const struct issuer_operations pool_operations = {
    .submit = pool_submit,
    .user_digest = pool_user_digest,
    .state = pool_state,
    .coupon = pool_coupon,
    .quantities = pool_quantities,
    .figures = pool_figures,
    .hurry = pool_hurry,
    .stop = pool_stop,
    .free = pool_free,
};

static int open_desks(struct pool *pool, struct complaint *complaint) {
    int status = STATUS_OK;
    for (unsigned i = 0; i < pool->options.threads && status == STATUS_OK; i++) {
        struct desk *desk = &pool->seats[i].desk;
        *desk = (struct desk){.strategy = pool->options.strategy,
                              .redis_address = &pool->options.redis,
                              .sql_address = &pool->options.sql};
        status = desk_open(desk);
        if (status == STATUS_OK && i == 0) {
            status = tables_make(desk);
        }
        if (status) {
            *complaint = desk->why;
        }
    }
    return status;
}

static int start_threads(struct pool *pool, struct complaint *complaint) {
    for (unsigned i = 0; i < pool->options.threads; i++) {
        struct seat *seat = &pool->seats[i];
        seat->pool = pool;
        if (pthread_create(&seat->thread, NULL, work, seat)) {
            return complain(complaint, STATUS_NO_MEMORY, "thread %u could not be made", i);
        }
        pool->started++;
    }
    return pool->options.drains && pool->options.strategy->queues
               ? drain_start(&pool->options.redis, &pool->options.sql, &pool->drain, complaint)
               : STATUS_OK;
}

int pool_start(const struct pool_options *options, struct issuer **ret_issuer,
               struct complaint *complaint) {
    struct pool *pool = calloc(1, sizeof(*pool));
    if (!pool) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory");
    }
    pool->issuer.operations = &pool_operations;
    pool->options = *options;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->not_empty, NULL);
    pool->seats = calloc(options->threads, sizeof(pool->seats[0]));
    int status = pool->seats ? open_desks(pool, complaint)
                             : complain(complaint, STATUS_NO_MEMORY, "not enough memory");
    if (status == STATUS_OK) {
        status = start_threads(pool, complaint);
    }
    if (status) {
        pool_stop(&pool->issuer, NULL);
        pool_free(&pool->issuer);
        return status;
    }
    atomic_store(&pool->state, ISSUER_READY);
    *ret_issuer = &pool->issuer;
    return STATUS_OK;
}
