/* Clients and an operator: see people.h. What a client sends reaches a node after a while; there
 * the claims that came in the same moment are one batch, as those of one turn of a loop are; the
 * answer comes back after a while, or not at all. */
#include "sim/distributed/people.h"

#include "sim/distributed/oracle.h"
#include "sim/distributed/programs.h"
#include "sim/distributed/trouble.h"

#define BATCH_MAX 16

struct person {
    struct person *next;
    uint64_t coupon_id;
    struct slice user_id;
    struct slice key; /* the Idempotency-Key; size 0: none */
    bool sends_key;   /* mostly */
    unsigned asks_left;
    int64_t patience_us;
    bool probe; /* must be told, and asks until it is */
    bool told;
    bool knows_place; /* 202: asks for the status of … */
    struct reject_place place;
    unsigned looks_left;
};

/* One request of a person on its way. */
struct ask {
    struct ask *next; /* of all of the run */
    struct person *person;
    struct process *process;
    struct claim claim;
    size_t in_history;
    int64_t asked_us; /* when it reached the node */
    bool over;        /* told, or given up by the client */
    bool answered;    /* by the node */
    bool submitted;
};

struct batch {
    struct claim_batch batch;
    struct process *process;
    struct ask *asks[BATCH_MAX];
    size_t count;
};

static struct {
    struct person *people;
    struct ask *asks;
    struct batch *gathering[16]; /* of each node, by its number */
    uint64_t claims;             /* of all runs */
    bool probing;
} world;

uint64_t people_claims(void) {
    return world.claims;
}

static void on_person(void *context, uint64_t word);

static int64_t network_us(void) {
    return random_between(dice(), 50, 3000);
}

static void ask_later(struct person *person, int64_t after_us) {
    event_at(now_us() + after_us, NULL, on_person, person, 0);
}

/* When all who probe are told the run has shown what it can. */
static void told(struct person *person) {
    person->told = true;
    bool all = world.probing;
    for (const struct person *other = world.people; all && other; other = other->next) {
        all = !other->probe || other->told;
    }
    if (all) {
        scheduler_stop();
    }
}

/* ---- the status of a claim that was admitted ---- */

struct look {
    struct command command; /* first */
    struct person *person;
};

static void on_look(void *context, uint64_t word);

static void look_later(struct person *person, int64_t after_us) {
    if (person->looks_left > 0) {
        person->looks_left--;
        event_at(now_us() + after_us, NULL, on_look, person, 0);
    }
}

static void on_look_told(void *context, uint64_t word) {
    struct look *look = context;
    struct person *person = look->person;
    (void)word;
    bool lost = look->command.status == STATUS_OK && look->command.standing == CLAIM_LOST;
    bool known =
        look->command.status == STATUS_OK && !lost && look->command.standing != CLAIM_PENDING;
    if (known) {
        told(person);
    } else if (lost) {
        ask_later(person, 1000);
    } else {
        look_later(person, random_between(dice(), 100000, 600000));
    }
}

static void look_done(struct job *job) {
    struct look *look = (struct look *)job;
    trace("status for %.*s: %d", (int)look->person->user_id.size, look->person->user_id.bytes,
          look->command.status ? look->command.status : (int)look->command.standing);
    oracle_status(&look->command);
    event_at(now_us() + network_us(), NULL, on_look_told, look, 0);
}

static void on_look(void *context, uint64_t word) {
    struct person *person = context;
    struct program *node = program_any(PROGRAM_NODE);
    (void)word;
    struct look *look = world_alloc(sizeof(*look));
    look->person = person;
    look->command.job = (struct job){.kind = JOB_CLAIM_READ, .done = look_done};
    look->command.reference.coupon_id = person->coupon_id;
    look->command.user_id = person->user_id;
    look->command.place = person->place;
    if (!node || !node->issuer || node->process->paused ||
        issuer_submit(node->issuer, &look->command.job)) {
        look_later(person, random_between(dice(), 50000, 300000));
    }
}

/* ---- answers ---- */

static bool is_final(enum verdict verdict) {
    return verdict < VERDICT_ADMITTED;
}

static void told_admitted(struct person *person, const struct claim *claim) {
    person->place = (struct reject_place){partition_of(claim->coupon_id), claim->queue_epoch,
                                          claim->queue_n, claim->rank};
    person->looks_left = person->probe ? 100 : (unsigned)random_below(dice(), 6);
    look_later(person, random_between(dice(), 1000, 400000));
    if (random_chance(dice(), 1, 3)) {
        ask_later(person, random_between(dice(), 10000, 900000));
    }
}

static void on_told(void *context, uint64_t word) {
    struct ask *ask = context;
    struct person *person = ask->person;
    (void)word;
    if (ask->over) {
        return;
    }
    ask->over = true;
    struct history_answer answer = {.verdict = ask->claim.verdict};
    if (ask->claim.verdict <= VERDICT_ALREADY_ISSUED) {
        answer.rank = ask->claim.rank;
        answer.issued_at_us = ask->claim.issued_at_us;
    }
    int status = history_claim_returned(oracle_history(), now_us(), ask->in_history, &answer);
    assert(status == STATUS_OK);
    if (is_final(ask->claim.verdict)) {
        told(person);
        if (random_chance(dice(), 1, 4)) {
            ask_later(person, random_between(dice(), 1000, 2 * US_PER_SECOND));
        }
    } else if (ask->claim.verdict == VERDICT_ADMITTED) {
        told_admitted(person, &ask->claim);
    } else {
        ask_later(person, random_between(dice(), 20000, 500000));
    }
}

/* The verdict leaves the node. */
static void answer(struct ask *ask, bool judged) {
    const struct claim *claim = &ask->claim;
    ask->answered = true;
    trace("%.*s is told %d, rank %u of coupon %llu", (int)claim->user_id.size, claim->user_id.bytes,
          (int)claim->verdict, claim->rank, (unsigned long long)claim->coupon_id);
    if (judged) {
        oracle_answered(claim, ask->asked_us);
    }
    if (!trouble_strikes(TROUBLE_ANSWER_LOST)) {
        event_at(now_us() + network_us(), NULL, on_told, ask, 0);
    }
}

static void batch_done(struct job *job) {
    struct batch *batch = (struct batch *)job;
    for (size_t i = 0; i < batch->count; i++) {
        batch->asks[i]->claim = batch->batch.claims[i];
        answer(batch->asks[i], true);
    }
}

static void batch_refuse(struct batch *batch, enum verdict verdict) {
    for (size_t i = 0; i < batch->count; i++) {
        batch->asks[i]->claim.verdict = verdict;
        answer(batch->asks[i], false);
    }
}

/* ---- requests ---- */

static void on_turn(void *context, uint64_t number) {
    struct batch *batch = context;
    const struct program *program = program_of(batch->process);
    world.gathering[number] = NULL;
    if (!program || !program->issuer) {
        batch_refuse(batch, VERDICT_STARTING);
        return;
    }
    batch->batch.claims = world_alloc(batch->count * sizeof(batch->batch.claims[0]));
    batch->batch.count = batch->count;
    batch->batch.job = (struct job){.kind = JOB_CLAIMS, .done = batch_done};
    for (size_t i = 0; i < batch->count; i++) {
        batch->batch.claims[i] = batch->asks[i]->claim;
        batch->asks[i]->submitted = true;
    }
    if (issuer_submit(program->issuer, &batch->batch.job)) {
        batch_refuse(batch, VERDICT_OVERLOADED);
    }
}

static void on_arrival(void *context, uint64_t number) {
    struct ask *ask = context;
    struct batch *batch = world.gathering[number];
    ask->asked_us = now_us();
    if (!batch || batch->process != ask->process || batch->count == BATCH_MAX) {
        batch = world_alloc(sizeof(*batch));
        batch->process = ask->process;
        world.gathering[number] = batch;
        event_at(now_us() + random_between(dice(), 10, 2000), ask->process, on_turn, batch, number);
    }
    batch->asks[batch->count++] = ask;
}

static void on_patience_over(void *context, uint64_t word) {
    struct ask *ask = context;
    (void)word;
    if (!ask->over) {
        ask->over = true; /* for its history the claim never returned */
        if (ask->person->probe || !trouble_strikes(TROUBLE_CLIENT_GIVES_UP)) {
            ask_later(ask->person, random_between(dice(), 100, 300000));
        }
    }
}

static void send(struct person *person, struct program *node) {
    struct ask *ask = world_alloc(sizeof(*ask));
    bool key = person->sends_key && !random_chance(dice(), 1, 10);
    *ask = (struct ask){.next = world.asks, .person = person, .process = node->process};
    ask->claim = (struct claim){
        .coupon_id = person->coupon_id,
        .user_id = person->user_id,
        .request_key = key ? person->key : (struct slice){NULL, 0},
        .respond_async = !person->probe && random_chance(dice(), 1, 10),
    };
    world.asks = ask;
    world.claims++;
    int status = history_claim_invoked(
        oracle_history(), now_us(),
        &(struct history_claim){person->coupon_id, person->user_id, ask->claim.request_key},
        &ask->in_history);
    assert(status == STATUS_OK);
    event_at(now_us() + network_us(), node->process, on_arrival, ask, node->number);
    event_at(now_us() + person->patience_us, NULL, on_patience_over, ask, 0);
}

static void on_person(void *context, uint64_t word) {
    struct person *person = context;
    (void)word;
    if (person->asks_left == 0) {
        return;
    }
    struct program *node = program_any(PROGRAM_NODE);
    if (!node || !node->issuer) {
        ask_later(person, random_between(dice(), 5000, 100000)); /* connection refused */
        return;
    }
    person->asks_left--;
    send(person, node);
}

void people_cut_off(struct process *process) {
    for (struct ask *ask = world.asks; ask; ask = ask->next) {
        if (ask->process == process && !ask->over) {
            event_at(now_us() + network_us(), NULL, on_patience_over, ask, 0);
        }
    }
}

/* ---- the operator ---- */

struct change {
    struct command command; /* first */
    size_t in_history;
};

static void on_change_told(void *context, uint64_t word) {
    struct change *change = context;
    const struct command *command = &change->command;
    (void)word;
    bool unknown = command->status == STATUS_AMBIGUOUS || command->status == STATUS_IO;
    enum history_outcome outcome = command->status == STATUS_OK ? HISTORY_DONE
                                   : unknown                    ? HISTORY_UNKNOWN
                                                                : HISTORY_REFUSED;
    int status = history_change_returned(oracle_history(), now_us(), change->in_history, outcome,
                                         command->coupon.id, command->coupon.version);
    assert(status == STATUS_OK);
}

static void change_done(struct job *job) {
    const struct command *command = (const struct command *)job;
    trace("the operator is told %d", command->status);
    if (command->status == STATUS_OK) {
        oracle_change_told(command->coupon.id, command->coupon.version);
    }
    event_at(now_us() + network_us(), NULL, on_change_told, job, 0);
}

static void change_draw(enum change_kind kind, const struct sql_coupon *coupon,
                        struct command *command) {
    const struct coupon_record *present = &coupon->record;
    int64_t total = present->total_quantity;
    switch (kind) {
    case CHANGE_PAUSE:
        command->patch_set = PATCH_PAUSED;
        command->coupon.paused = !present->paused;
        return;
    case CHANGE_RAISE:
        command->patch_set = PATCH_TOTAL_QUANTITY;
        command->coupon.total_quantity = total < 0 ? total : total + random_between(dice(), 1, 9);
        return;
    case CHANGE_NARROW:
        command->patch_set = PATCH_TOTAL_QUANTITY;
        command->coupon.total_quantity = present->issued_quantity + random_between(dice(), 0, 4);
        return;
    case CHANGE_PERIOD:
        command->patch_set = PATCH_ISSUE_END;
        command->coupon.issue_end_us =
            realtime_us() + random_between(dice(), -US_PER_SECOND, 20 * US_PER_SECOND);
        return;
    }
}

void operator_change(enum change_kind kind) {
    struct program *node = program_any(PROGRAM_NODE);
    const struct sql_tables *record = &sql_server()->record;
    const struct sql_coupon *coupon = record->coupons[random_below(dice(), record->coupon_count)];
    if (!node || !node->issuer || node->process->paused) {
        return;
    }
    struct change *change = world_alloc(sizeof(*change));
    change->command.job = (struct job){.kind = JOB_COUPON_CHANGE, .done = change_done};
    change->command.coupon.id = coupon->record.id;
    change_draw(kind, coupon, &change->command);
    struct history_change told = {
        .coupon_id = coupon->record.id,
        .patch_set = change->command.patch_set,
        .terms = {.total_quantity = change->command.coupon.total_quantity,
                  .issue_end_us = change->command.coupon.issue_end_us,
                  .paused = change->command.coupon.paused},
    };
    int status = history_change_invoked(oracle_history(), now_us(), &told, &change->in_history);
    assert(status == STATUS_OK);
    trace("%s is asked to change coupon %llu (%d)", node->process->name,
          (unsigned long long)coupon->record.id, (int)kind);
    if (issuer_submit(node->issuer, &change->command.job)) {
        change->command.status = STATUS_FULL;
        on_change_told(change, 0);
    }
}

/* ---- a run ---- */

static void coupon_draw(uint64_t id) {
    struct coupon_record coupon = {.id = id, .title = "of the run", .version = 1};
    bool unlimited = random_chance(dice(), 1, 12);
    coupon.total_quantity = unlimited ? COUPON_UNLIMITED : random_between(dice(), 1, 40);
    coupon.created_us = coupon.updated_us = realtime_us() - US_PER_SECOND;
    bool early = random_chance(dice(), 1, 2);
    coupon.issue_start_us =
        realtime_us() + (early ? -US_PER_SECOND : random_between(dice(), 0, US_PER_SECOND));
    coupon.issue_end_us =
        realtime_us() + (random_chance(dice(), 1, 3) ? random_between(dice(), 1000000, 6000000)
                                                     : 3600 * US_PER_SECOND);
    sql_coupon_add(&coupon);
}

void people_coupons(void) {
    uint64_t count = 1 + random_below(dice(), 3);
    uint64_t id = 1 + random_below(dice(), 200);
    for (uint64_t i = 0; i < count; i++) {
        coupon_draw(id);
        id += random_chance(dice(), 1, 2) ? PARTITION_COUNT : 1 + random_below(dice(), 5);
    }
}

static void creation_tell(const struct coupon_record *coupon) {
    struct history_change creation = {
        .coupon_id = coupon->id,
        .creates = true,
        .terms = {coupon->total_quantity, coupon->issue_start_us, coupon->issue_end_us,
                  coupon->paused, false},
    };
    size_t in_history;
    int status = history_change_invoked(oracle_history(), 1, &creation, &in_history);
    assert(status == STATUS_OK);
    status = history_change_returned(oracle_history(), 2, in_history, HISTORY_DONE, coupon->id, 1);
    assert(status == STATUS_OK);
}

static struct person *person_new(const struct coupon_record *coupon, unsigned number,
                                 const char *kind) {
    struct person *person = world_alloc(sizeof(*person));
    person->next = world.people;
    person->coupon_id = coupon->id;
    person->user_id = world_text("%s%u", kind, number);
    person->key = world_text("key-%s%u-%llu", kind, number, (unsigned long long)coupon->id);
    person->sends_key = random_chance(dice(), 3, 4);
    person->asks_left = 2 + (unsigned)random_below(dice(), 8);
    person->patience_us = random_between(dice(), 200000, 4 * US_PER_SECOND);
    world.people = person;
    return person;
}

void people_begin(int64_t until_us) {
    world.people = NULL;
    world.asks = NULL;
    world.probing = false;
    memset(world.gathering, 0, sizeof(world.gathering));
    for (size_t i = 0; i < sql_server()->record.coupon_count; i++) {
        const struct coupon_record *coupon = &sql_server()->record.coupons[i]->record;
        creation_tell(coupon);
        unsigned count = 2 + (unsigned)random_below(dice(), 50);
        int64_t rush_us = random_between(dice(), 1000, until_us - now_us());
        for (unsigned k = 0; k < count; k++) {
            /* some people are two: they ask at once from two places */
            struct person *person = person_new(coupon, k - (k > 0 && k % 9 == 0), "u");
            ask_later(person, random_between(dice(), 0, rush_us));
        }
    }
}

void people_probe(void) {
    world.probing = true;
    for (size_t i = 0; i < sql_server()->record.coupon_count; i++) {
        struct person *person =
            person_new(&sql_server()->record.coupons[i]->record, (unsigned)i, "probe");
        person->probe = true;
        person->asks_left = 100;
        person->patience_us = 4 * US_PER_SECOND;
        ask_later(person, random_between(dice(), 0, 100000));
    }
}

void people_check(void) {
    for (const struct person *person = world.people; person; person = person->next) {
        if (person->probe && !person->told) {
            oracle_violation("%.*s was never told whether it has coupon %llu",
                             (int)person->user_id.size, person->user_id.bytes,
                             (unsigned long long)person->coupon_id);
        }
    }
    for (const struct ask *ask = world.asks; ask; ask = ask->next) {
        if (ask->submitted && !ask->answered && ask->process->alive &&
            ask->asked_us < now_us() - 6 * US_PER_SECOND) {
            oracle_violation("%s never answered %.*s", ask->process->name,
                             (int)ask->claim.user_id.size, ask->claim.user_id.bytes);
        }
    }
}
