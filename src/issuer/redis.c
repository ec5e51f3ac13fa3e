/* The redis issuer: Redis in front of a SQL ledger, any number of nodes. Starting and stopping its
 * threads, and the operations. See redis_issuer.h. */
#include "issuer/redis_issuer.h"

#include <stdlib.h>

/* ---- lists ---- */

void seat_push(struct seat_list *list, struct seat *seat) {
    seat->next = NULL;
    if (list->last) {
        list->last->next = seat;
    } else {
        list->first = seat;
    }
    list->last = seat;
    list->count++;
}

struct seat *seat_pop(struct seat_list *list) {
    struct seat *seat = list->first;
    if (seat) {
        list->first = seat->next;
        list->last = list->first ? list->last : NULL;
        list->count--;
        seat->next = NULL;
    }
    return seat;
}

void seat_append(struct seat_list *list, struct seat_list *more) {
    if (more->count == 0) {
        return;
    }
    if (list->last) {
        list->last->next = more->first;
    } else {
        list->first = more->first;
    }
    list->last = more->last;
    list->count += more->count;
    *more = (struct seat_list){0};
}

void question_append(struct question_list *list, struct question_list *more) {
    assert(more->first);
    if (list->last) {
        list->last->next = more->first;
    } else {
        list->first = more->first;
    }
    list->last = more->last;
    *more = (struct question_list){0};
}

void question_push(struct question_list *list, struct question *question) {
    question->next = NULL;
    struct question_list one = {question, question};
    question_append(list, &one);
}

struct question *question_pop(struct question_list *list) {
    struct question *question = list->first;
    if (question) {
        list->first = question->next;
        list->last = list->first ? list->last : NULL;
    }
    return question;
}

void errand_push(struct errand_list *list, struct keeper_errand *errand) {
    errand->next = NULL;
    if (list->last) {
        list->last->next = errand;
    } else {
        list->first = errand;
    }
    list->last = errand;
}

void errand_push_first(struct errand_list *list, struct keeper_errand *errand) {
    errand->next = list->first;
    list->first = errand;
    list->last = list->last ? list->last : errand;
}

struct keeper_errand *errand_pop(struct errand_list *list) {
    struct keeper_errand *errand = list->first;
    if (errand) {
        list->first = errand->next;
        list->last = list->first ? list->last : NULL;
    }
    return errand;
}

/* ---- operations, any thread ---- */

static int redis_submit(struct issuer *base, struct job *job) {
    struct redis_issuer *issuer = (struct redis_issuer *)base;
    switch (job->kind) {
    case JOB_CLAIMS:
        return door_submit(issuer, job);
    case JOB_COUPON_CREATE:
    case JOB_COUPON_CHANGE:
        return keeper_submit(issuer, job);
    case JOB_COUPON_READ:
    case JOB_COUPONS_READ:
    case JOB_ISSUE_READ:
    case JOB_HOLDING_READ:
    case JOB_ISSUES_READ:
    case JOB_USER_ISSUES_READ:
    case JOB_AUDITS_READ:
    case JOB_CLAIM_READ:
        return reader_submit(&issuer->reader, job);
    }
    assert(false && "a job");
    abort();
}

/* The ledger compares users themselves. */
static struct digest redis_user_digest(const struct issuer *issuer, struct slice user_id) {
    (void)issuer;
    (void)user_id;
    return (struct digest){0};
}

static enum issuer_state redis_state(const struct issuer *issuer) {
    return (enum issuer_state)atomic_load(&((const struct redis_issuer *)issuer)->state);
}

/* Other nodes issue too: only the ledger knows, and is asked by a command. */
static int redis_coupon(const struct issuer *issuer, uint64_t coupon_id,
                        struct coupon_record *ret_coupon) {
    (void)issuer;
    (void)coupon_id;
    (void)ret_coupon;
    return STATUS_NOT_FOUND;
}

static size_t redis_quantities(const struct issuer *issuer, uint64_t after_id, size_t limit,
                               struct coupon_quantities *ret_quantities) {
    return board_quantities(((const struct redis_issuer *)issuer)->reader.board, after_id, limit,
                            ret_quantities);
}

static int64_t age_us_of(const struct redis_issuer *issuer) {
    int64_t oldest_us = atomic_load(&issuer->oldest_us);
    int64_t age_us = oldest_us > 0 ? clock_realtime(NULL) - oldest_us : 0;
    return age_us > 0 ? age_us : 0;
}

static struct issuer_figures redis_figures(const struct issuer *base) {
    const struct redis_issuer *issuer = (const struct redis_issuer *)base;
    struct issuer_figures figures = {
        .coupons = board_count(issuer->reader.board),
        .issues = atomic_load(&issuer->reader.issues),
        .queue_depth = atomic_load(&issuer->claim_count),
        .queue =
            {
                .present = true,
                .waiting = atomic_load(&issuer->queued),
                .oldest_us = age_us_of(issuer),
                .gates_open = atomic_load(&issuer->gates_open),
                .admitted = counter_read(&issuer->figures.admitted),
                .asked_again = counter_read(&issuer->figures.asked_again),
                .questions = atomic_load(&issuer->door.question_count),
                .late = counter_read(&issuer->figures.late),
                .rebuilt = atomic_load(&issuer->rebuilt),
                .rejects = atomic_load(&issuer->rejects),
            },
    };
    histogram_read(&issuer->figures.step_claims, &figures.step_claims);
    return figures;
}

static void redis_hurry(struct issuer *issuer) {
    (void)issuer;
}

/* The door first, as it needs the others to answer what it has in hand. */
static int redis_stop(struct issuer *base, struct complaint *complaint) {
    struct redis_issuer *issuer = (struct redis_issuer *)base;
    (void)complaint;
    door_stop(issuer);
    keeper_stop(issuer);
    answers_stop(issuer);
    reader_stop(&issuer->reader);
    atomic_store(&issuer->state, ISSUER_STOPPING);
    return STATUS_OK;
}

/* What came back to the door when it was closed already. */
static void free_leftovers(struct redis_issuer *issuer) {
    struct keeper_errand *errand;
    while ((errand = errand_pop(&issuer->door.errands_done)) != NULL) {
        free(errand);
    }
    while (issuer->door.questions) {
        struct question *next = issuer->door.questions->next_out;
        free(issuer->door.questions);
        issuer->door.questions = next;
    }
    for (unsigned p = 0; p < PARTITION_COUNT; p++) {
        while (issuer->door.loading[p]) {
            struct loading *next = issuer->door.loading[p]->next;
            free(issuer->door.loading[p]);
            issuer->door.loading[p] = next;
        }
    }
}

static void redis_free(struct issuer *base) {
    struct redis_issuer *issuer = (struct redis_issuer *)base;
    free_leftovers(issuer);
    door_done(issuer);
    reader_done(&issuer->reader);
    free(issuer);
}

static const struct issuer_operations redis_operations = {
    .submit = redis_submit,
    .user_digest = redis_user_digest,
    .state = redis_state,
    .coupon = redis_coupon,
    .quantities = redis_quantities,
    .figures = redis_figures,
    .hurry = redis_hurry,
    .stop = redis_stop,
    .free = redis_free,
};

/* ---- start ---- */

void issuer_redis_options_default(struct issuer_redis_options *ret_options) {
    *ret_options = (struct issuer_redis_options){
        .queue_max = 65536,
        .answer_timeout_us = 3 * US_PER_SECOND,
        .refresh_interval_us = US_PER_SECOND,
    };
}

/* The parts in the order in which they lean on each other. Each one that runs is undone by a
 * failure of the next. */
static int start_parts(struct redis_issuer *issuer, struct complaint *complaint) {
    struct ledger *reading, *answering;
    int status = ledger_open_shared(&issuer->options.ledger, &reading, complaint);
    if (status) {
        return status;
    }
    if (reader_start(&issuer->reader, reading, READER_COUPONS_MAX,
                     issuer->options.refresh_interval_us)) {
        return complain(complaint, STATUS_NO_MEMORY, "a thread cannot be started");
    }
    /* a connection that is dead must not be waited for longer than anybody waits for its answer */
    struct ledger_sql_options impatient = issuer->options.ledger;
    impatient.connect_timeout_us = issuer->options.answer_timeout_us;
    impatient.statement_timeout_us = issuer->options.answer_timeout_us;
    status = ledger_open_shared(&impatient, &answering, complaint);
    if (status == STATUS_OK && answers_start(issuer, answering)) {
        status = complain(complaint, STATUS_NO_MEMORY, "a thread cannot be started");
    }
    if (status) {
        reader_stop(&issuer->reader);
        reader_done(&issuer->reader);
        return status;
    }
    status = keeper_start(issuer, complaint);
    if (status == STATUS_OK && (status = door_start(issuer, complaint)) != STATUS_OK) {
        keeper_stop(issuer);
    }
    if (status) {
        answers_stop(issuer);
        reader_stop(&issuer->reader);
        reader_done(&issuer->reader);
    }
    return status;
}

int issuer_redis_start(const struct issuer_redis_options *options, struct issuer **ret_issuer,
                       struct complaint *complaint) {
    struct redis_issuer *issuer = calloc(1, sizeof(*issuer));
    if (!issuer) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory to start");
    }
    issuer->issuer.operations = &redis_operations;
    issuer->options = *options;
    atomic_init(&issuer->state, ISSUER_STARTING);
    histogram_init(&issuer->figures.step_claims, &histogram_sizes);
    int status = start_parts(issuer, complaint);
    if (status) {
        free(issuer);
        return status;
    }
    *ret_issuer = &issuer->issuer;
    return STATUS_OK;
}
