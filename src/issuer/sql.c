/* The SQL issuer: any number of nodes on one ledger, which decides. A writer's thread settles all
 * claims that wait in one transaction, and makes operators' changes; a reader's thread (reader.c)
 * answers reads. Nothing is kept that could be out of date: what a coupon was last seen to refuse
 * only tells which way to ask is the cheaper one.
 *
 *   claims of coupons that refused lately -> ledger_look, without a lock
 *   those it leaves waiting, and all others -> ledger_settle
 *
 * A COMMIT without an answer: the same claims are settled again, and what the lost one wrote is
 * found by their claim ids. Only when the server cannot be reached for outcome_timeout_us do they
 * get OUTCOME_UNKNOWN (I8). */
#include "issuer/change.h"
#include "issuer/reader.h"
#include "issuer/settled.h"

#include <sodium.h>
#include <stdlib.h>
#include <time.h>

/* How long a refusal makes the next claims look first, and for how many coupons, by the lowest
 * bits of their ids, that is remembered. */
static const int64_t REFUSING_US = US_PER_SECOND;
#define REFUSING_SLOTS 1024
/* How long somebody who asked again makes the next settlements look who holds what before they
 * write: found only by a key, they cost the settlement a second turn. */
static const int64_t ASKED_AGAIN_US = US_PER_SECOND;
/* Between two questions after a lost COMMIT. */
static const int64_t ASK_AGAIN_US = US_PER_SECOND / 20;

#define CLAIM_NAME_SIZE 16 /* characters: 12 bytes in base64 */

struct sql_figures {
    struct counter commit_failures;
    struct histogram step_claims;
    struct histogram commit_rows;
    struct histogram commit_us;
};

struct sql {
    struct issuer issuer; /* first */
    struct issuer_sql_options options;
    struct ledger *ledger; /* the writer's */
    struct queue queue;
    struct reader reader;
    pthread_t writer;
    struct complaint why;
    int64_t next_probe_us; /* monotonic; the writer's, as all down to the figures */
    unsigned char node[6]; /* begins the names of this node's claims … */
    uint64_t claim_number; /* … and this ends them */
    struct {
        uint64_t coupon_id;
        int64_t until_us;
    } refusing[REFUSING_SLOTS];
    struct claim *claims[SETTLE_CLAIMS_MAX]; /* of the step … */
    struct settle_claim settled[SETTLE_CLAIMS_MAX];
    size_t origins[SETTLE_CLAIMS_MAX]; /* … settled[i] is claims[origins[i]] */
    char names[SETTLE_CLAIMS_MAX][CLAIM_NAME_SIZE + 1];
    size_t row_count;
    int64_t look_until_us; /* monotonic: somebody asked again lately */
    struct sql_figures figures;
    _Atomic int state; /* as published */
};

/* ---- state ---- */

static void enter(struct sql *sql, enum issuer_state state) {
    if (atomic_exchange(&sql->state, (int)state) == (int)state) {
        return;
    }
    if (state == ISSUER_UNWRITABLE) {
        sql->next_probe_us = clock_monotonic_us() + sql->options.probe_interval_us;
    }
    if (sql->options.state_changed) {
        sql->options.state_changed(sql->options.context, state, sql->why.text);
    }
}

static enum issuer_state state_of(const struct sql *sql) {
    return (enum issuer_state)atomic_load(&sql->state);
}

static void probe_when_due(struct sql *sql) {
    if (state_of(sql) != ISSUER_UNWRITABLE || clock_monotonic_us() < sql->next_probe_us) {
        return;
    }
    if (ledger_probe(sql->ledger, &sql->why) == STATUS_OK) {
        enter(sql, ISSUER_READY);
    }
    sql->next_probe_us = clock_monotonic_us() + sql->options.probe_interval_us;
}

static int64_t wait_us_of(const struct sql *sql) {
    if (state_of(sql) != ISSUER_UNWRITABLE) {
        return -1;
    }
    int64_t left_us = sql->next_probe_us - clock_monotonic_us();
    return left_us > 0 ? left_us : 0;
}

/* ---- claims ---- */

static bool is_refusing(const struct sql *sql, uint64_t coupon_id, int64_t now_us) {
    size_t slot = coupon_id % REFUSING_SLOTS;
    return sql->refusing[slot].coupon_id == coupon_id && now_us < sql->refusing[slot].until_us;
}

static void note_refusal(struct sql *sql, const struct settle_claim *claim, int64_t now_us) {
    size_t slot = claim->coupon_id % REFUSING_SLOTS;
    bool refused = claim->outcome != SETTLE_ISSUED && claim->outcome != SETTLE_ALREADY_ISSUED;
    if (refused) {
        sql->refusing[slot].coupon_id = claim->coupon_id;
        sql->refusing[slot].until_us = now_us + REFUSING_US;
    } else if (claim->outcome == SETTLE_ISSUED &&
               sql->refusing[slot].coupon_id == claim->coupon_id) {
        sql->refusing[slot].until_us = 0;
    }
}

/* Random for the node, counted within it: no two claims of one user share a name. */
static void name_claim(struct sql *sql, char name[static CLAIM_NAME_SIZE + 1]) {
    unsigned char bytes[12];
    uint64_t number = ++sql->claim_number;
    memcpy(bytes, sql->node, sizeof(sql->node));
    for (size_t i = sizeof(sql->node); i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char)(number & 0xff);
        number >>= 8;
    }
    sodium_bin2base64(name, CLAIM_NAME_SIZE + 1, bytes, sizeof(bytes),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

static size_t gather(struct sql *sql, const struct job_list *batches) {
    size_t count = 0;
    for (const struct job *job = batches->first; job; job = job->next) {
        const struct claim_batch *batch = (const struct claim_batch *)job;
        for (size_t i = 0; i < batch->count; i++) {
            name_claim(sql, sql->names[count]);
            sql->claims[count++] = &batch->claims[i];
        }
    }
    return count;
}

/* Puts those of the claims among the settled whose coupon refuses, or does not. */
static size_t choose(struct sql *sql, size_t count, bool refusing, int64_t now_us) {
    size_t chosen = 0;
    for (size_t i = 0; i < count; i++) {
        const struct claim *claim = sql->claims[i];
        if (claim && is_refusing(sql, claim->coupon_id, now_us) == refusing) {
            sql->settled[chosen] = (struct settle_claim){
                .coupon_id = claim->coupon_id,
                .user_id = claim->user_id,
                .request_key = claim->request_key,
                .claim_id = {sql->names[i], CLAIM_NAME_SIZE},
            };
            sql->origins[chosen++] = i;
        }
    }
    return chosen;
}

/* Leaves the verdicts of those that have one; they are out of the step by then. */
static void answer(struct sql *sql, size_t count, int64_t now_us) {
    for (size_t i = 0; i < count; i++) {
        const struct settle_claim *settled = &sql->settled[i];
        if (settled->outcome == SETTLE_WAITING) {
            continue;
        }
        struct claim *claim = sql->claims[sql->origins[i]];
        claim->verdict = settled_verdict(settled);
        claim->rank = settled->rank;
        claim->issued_at_us = settled->issued_at_us;
        claim->starts_us = settled->starts_us;
        sql->claims[sql->origins[i]] = NULL;
        sql->row_count += settled->outcome == SETTLE_ISSUED;
        if (settled->outcome == SETTLE_ALREADY_ISSUED) {
            sql->look_until_us = now_us + ASKED_AGAIN_US;
        }
        note_refusal(sql, settled, now_us);
    }
}

static void answer_failed(struct sql *sql, size_t count, int status) {
    for (size_t i = 0; i < count; i++) {
        if (sql->claims[i]) {
            sql->claims[i]->verdict =
                status == STATUS_AMBIGUOUS ? VERDICT_OUTCOME_UNKNOWN : VERDICT_STORAGE_UNAVAILABLE;
            sql->claims[i] = NULL;
        }
    }
}

static void pause_us(int64_t pause_us) {
    struct timespec pause = {.tv_nsec = pause_us * 1000};
    nanosleep(&pause, NULL);
}

/* Settles, and after a COMMIT without an answer asks until there is one. A failure that is known
 * is tried once more, since the first call after a server's restart finds a dead connection. */
static int settle(struct sql *sql, size_t count) {
    int64_t now_us = clock_monotonic_us();
    struct settlement settlement = {
        .claims = sql->settled, .count = count, .fresh = now_us >= sql->look_until_us};
    int64_t until_us = now_us + sql->options.outcome_timeout_us;
    int status = ledger_settle(sql->ledger, &settlement, &sql->why);
    if (status == STATUS_IO) {
        status = ledger_settle(sql->ledger, &settlement, &sql->why);
    }
    bool lost = status == STATUS_AMBIGUOUS;
    settlement.fresh &= !lost; /* what the lost one wrote is to be found */
    while (lost && status != STATUS_OK && clock_monotonic_us() < until_us) {
        pause_us(ASK_AGAIN_US);
        status = ledger_settle(sql->ledger, &settlement, &sql->why);
    }
    return lost && status != STATUS_OK ? STATUS_AMBIGUOUS : status;
}

static int settle_step(struct sql *sql, size_t count) {
    int64_t now_us = clock_monotonic_us();
    int status = STATUS_OK;
    size_t chosen = choose(sql, count, true, now_us);
    if (chosen > 0) {
        status = ledger_look(sql->ledger, sql->settled, chosen, &sql->why);
        if (status) {
            return status;
        }
        answer(sql, chosen, now_us);
    }
    for (size_t i = 0; i < chosen;
         i++) { /* those that wait after a look are settled with the rest */
        const struct claim *claim = sql->claims[sql->origins[i]];
        if (claim) {
            sql->refusing[claim->coupon_id % REFUSING_SLOTS].until_us = 0;
        }
    }
    chosen = choose(sql, count, false, now_us);
    if (chosen > 0) {
        FAILPOINT("sql-settle");
        status = settle(sql, chosen);
        FAILPOINT("sql-settled");
        if (status == STATUS_OK) {
            answer(sql, chosen, now_us);
        }
    }
    return status;
}

static void do_claims(struct sql *sql, const struct job_list *batches) {
    size_t count = gather(sql, batches);
    if (state_of(sql) != ISSUER_READY) {
        answer_failed(sql, count, STATUS_IO);
        return;
    }
    int64_t begin_us = clock_monotonic_us();
    sql->row_count = 0;
    int status = settle_step(sql, count);
    histogram_add(&sql->figures.step_claims, count, 1);
    if (sql->row_count > 0) {
        histogram_add(&sql->figures.commit_rows, sql->row_count, 1);
        histogram_add(&sql->figures.commit_us, (uint64_t)(clock_monotonic_us() - begin_us), 1);
    }
    if (status) {
        counter_add(&sql->figures.commit_failures, 1);
        answer_failed(sql, count, status);
        enter(sql, ISSUER_UNWRITABLE);
    }
}

/* ---- creations and changes ---- */

static bool is_failure(int status) {
    return status == STATUS_IO || status == STATUS_FULL || status == STATUS_NO_MEMORY ||
           status == STATUS_AMBIGUOUS;
}

static void do_command(struct sql *sql, struct command *command) {
    if (state_of(sql) != ISSUER_READY) {
        command->status = STATUS_IO;
    } else {
        command->status = command->job.kind == JOB_COUPON_CREATE
                              ? creation_perform(sql->ledger, command, &sql->why)
                              : change_perform(sql->ledger, command, &sql->why);
        if (command->status == STATUS_OK) {
            sql->refusing[command->coupon.id % REFUSING_SLOTS].until_us = 0;
        }
        if (is_failure(command->status)) {
            enter(sql, ISSUER_UNWRITABLE);
        }
    }
    command->job.done(&command->job);
}

/* ---- the writer's thread ---- */

static void *write_jobs(void *context) {
    struct sql *sql = context;
    struct job_list claims;
    struct job *command;
    enter(sql, ISSUER_READY);
    while (queue_take(&sql->queue, wait_us_of(sql), &claims, &command)) {
        struct job *job;
        if (claims.first) {
            do_claims(sql, &claims);
        }
        while ((job = job_list_pop(&claims)) != NULL) {
            job->done(job);
        }
        if (command) {
            do_command(sql, (struct command *)command);
        }
        probe_when_due(sql);
    }
    ledger_close(sql->ledger, NULL);
    return NULL;
}

/* ---- any thread ---- */

static bool is_for_writer(enum job_kind kind) {
    return kind == JOB_CLAIMS || kind == JOB_COUPON_CREATE || kind == JOB_COUPON_CHANGE;
}

static int sql_submit(struct issuer *issuer, struct job *job) {
    struct sql *sql = (struct sql *)issuer;
    return is_for_writer(job->kind) ? queue_push(&sql->queue, job)
                                    : reader_submit(&sql->reader, job);
}

/* The ledger compares users themselves. */
static struct digest sql_user_digest(const struct issuer *issuer, struct slice user_id) {
    (void)issuer;
    (void)user_id;
    return (struct digest){0};
}

static enum issuer_state sql_state(const struct issuer *issuer) {
    return state_of((const struct sql *)issuer);
}

/* Other nodes issue too: only the ledger knows, and is asked by a command. */
static int sql_coupon(const struct issuer *issuer, uint64_t coupon_id,
                      struct coupon_record *ret_coupon) {
    (void)issuer;
    (void)coupon_id;
    (void)ret_coupon;
    return STATUS_NOT_FOUND;
}

static size_t sql_quantities(const struct issuer *issuer, uint64_t after_id, size_t limit,
                             struct coupon_quantities *ret_quantities) {
    return board_quantities(((const struct sql *)issuer)->reader.board, after_id, limit,
                            ret_quantities);
}

static struct issuer_figures sql_figures(const struct issuer *issuer) {
    const struct sql *sql = (const struct sql *)issuer;
    struct issuer_figures figures = {
        .coupons = board_count(sql->reader.board),
        .issues = atomic_load(&sql->reader.issues),
        .queue_depth = atomic_load(&sql->queue.claim_count),
        .commit_failures = counter_read(&sql->figures.commit_failures),
    };
    histogram_read(&sql->figures.step_claims, &figures.step_claims);
    histogram_read(&sql->figures.commit_rows, &figures.commit_rows);
    histogram_read(&sql->figures.commit_us, &figures.commit_us);
    return figures;
}

static void sql_hurry(struct issuer *issuer) {
    (void)issuer;
}

static int sql_stop(struct issuer *issuer, struct complaint *complaint) {
    struct sql *sql = (struct sql *)issuer;
    (void)complaint;
    queue_close(&sql->queue);
    pthread_join(sql->writer, NULL);
    reader_stop(&sql->reader);
    atomic_store(&sql->state, ISSUER_STOPPING);
    return STATUS_OK;
}

static void sql_free(struct issuer *issuer) {
    struct sql *sql = (struct sql *)issuer;
    reader_done(&sql->reader);
    queue_done(&sql->queue);
    free(sql);
}

static const struct issuer_operations sql_operations = {
    .submit = sql_submit,
    .user_digest = sql_user_digest,
    .state = sql_state,
    .coupon = sql_coupon,
    .quantities = sql_quantities,
    .figures = sql_figures,
    .hurry = sql_hurry,
    .stop = sql_stop,
    .free = sql_free,
};

/* ---- start ---- */

void issuer_sql_options_default(struct issuer_sql_options *ret_options) {
    *ret_options = (struct issuer_sql_options){
        .queue_max = 65536,
        .probe_interval_us = US_PER_SECOND / 4,
        .refresh_interval_us = US_PER_SECOND,
        .outcome_timeout_us = 5 * US_PER_SECOND,
    };
}

/* The threads; they end again when one cannot be started. */
static int start_threads(struct sql *sql, struct ledger *reading) {
    if (reader_start(&sql->reader, reading, READER_COUPONS_MAX, sql->options.refresh_interval_us)) {
        return STATUS_NO_MEMORY;
    }
    queue_init(&sql->queue, sql->options.queue_max);
    if (pthread_create(&sql->writer, NULL, write_jobs, sql)) {
        queue_done(&sql->queue);
        reader_stop(&sql->reader);
        reader_done(&sql->reader);
        return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

static void init(struct sql *sql, const struct issuer_sql_options *options) {
    sql->issuer.operations = &sql_operations;
    sql->options = *options;
    sql->options.ledger.url = NULL; /* not ours any longer, and a password may be in it */
    atomic_init(&sql->state, ISSUER_STARTING);
    randombytes_buf(sql->node, sizeof(sql->node));
    histogram_init(&sql->figures.step_claims, &histogram_sizes);
    histogram_init(&sql->figures.commit_rows, &histogram_sizes);
    histogram_init(&sql->figures.commit_us, &histogram_durations);
}

int issuer_sql_start(const struct issuer_sql_options *options, struct issuer **ret_issuer,
                     struct complaint *complaint) {
    struct ledger *reading;
    struct sql *sql = calloc(1, sizeof(*sql));
    if (!sql) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory to start");
    }
    init(sql, options);
    int status = ledger_open_shared(&options->ledger, &sql->ledger, complaint);
    if (status) {
        free(sql);
        return status;
    }
    status = ledger_open_shared(&options->ledger, &reading, complaint);
    if (status == STATUS_OK && start_threads(sql, reading)) {
        status = complain(complaint, STATUS_NO_MEMORY, "a thread cannot be started");
    }
    if (status) {
        ledger_close(sql->ledger, NULL);
        free(sql);
        return status;
    }
    *ret_issuer = &sql->issuer;
    return STATUS_OK;
}
