/* The settle transaction of the distributed protocol: judges claims by the ledger itself, behind
 * the coupons' locks, and writes what it granted. Store-independent; a store's part are the steps
 * in struct ledger_shared_operations. Not for: SQLite, whose one writer has an engine. Called by
 * the sql and redis issuers and the worker, through settle.h.
 *
 *   cursor locked, where it must stand -> coupons locked, by id -> coupons and clock read
 *   -> who holds what -> all claims judged in order (I7) -> counts and rows, plain INSERT
 *   -> rejects, cursor -> COMMIT
 *
 * With `fresh` the look at the holders is left out at first. Where a claim is refused it is made
 * after all, since who holds one is told so first (I7); and a key that is taken undoes
 * everything, and the second turn looks. */
#include "ledger/ledger.h"

#include <stdlib.h>

/* One asked (coupon, user), found by its hash: claims of the same two share it. */
struct holding_slot {
    uint32_t claim; /* index + 1 of a claim that names the two; 0: empty */
    bool held;
    uint32_t rank;
    int64_t issued_at_us;
    struct slice claim_id;
    struct slice request_key;
};

/* Room for the texts of an issue that was found. */
struct holding_texts {
    char claim_id[CLAIM_ID_MAX];
    char request_key[REQUEST_KEY_MAX];
};

/* What one settlement works with; allocated for it, since claims come by the hundred. */
struct settle {
    struct ledger *ledger;
    struct settlement *settlement;
    bool look;
    bool lock;
    int64_t now_us;
    struct settle_coupon *coupons; /* by id, each once */
    uint64_t *ids;
    size_t coupon_count;
    struct holding_slot *slots;
    size_t slot_mask;
    struct holding_texts *texts;
    size_t text_count;
    struct issue_row *rows;
    size_t row_count;
    struct issued_count *counts;
    size_t count_count;
    const struct settle_claim **rejects;
    size_t reject_count;
};

static const struct ledger_shared_operations *shared(const struct settle *settle) {
    return settle->ledger->shared;
}

const char *settle_outcome_name(enum settle_outcome outcome) {
    switch (outcome) {
    case SETTLE_NO_SUCH_COUPON:
        return "coupon-not-found";
    case SETTLE_ALREADY_ISSUED:
        return "already-issued";
    case SETTLE_PAUSED:
        return "paused";
    case SETTLE_NOT_STARTED:
        return "not-started";
    case SETTLE_ENDED:
        return "ended";
    case SETTLE_SOLD_OUT:
        return "sold-out";
    case SETTLE_UNREADABLE:
        return "unreadable";
    case SETTLE_ISSUED:
        return "issued";
    case SETTLE_WAITING:
        return "waiting";
    }
    assert(false && "an outcome");
    abort();
}

/* ---- who holds what ---- */

/* FNV-1a, 64 bits (Fowler, Noll, Vo). Users that collide on purpose cost a walk along the slots of
 * one settlement, no more. */
static uint64_t hash_of(uint64_t coupon_id, struct slice user_id) {
    uint64_t hash = UINT64_C(14695981039346656037) ^ coupon_id;
    for (size_t i = 0; i < user_id.size; i++) {
        hash = (hash ^ (unsigned char)user_id.bytes[i]) * UINT64_C(1099511628211);
    }
    return hash ^ hash >> 32;
}

/* The slot of the two, or the empty one where it would be. */
static struct holding_slot *slot_find(const struct settle *settle, uint64_t coupon_id,
                                      struct slice user_id) {
    const struct settle_claim *claims = settle->settlement->claims;
    size_t at = hash_of(coupon_id, user_id) & settle->slot_mask;
    for (;; at = (at + 1) & settle->slot_mask) {
        struct holding_slot *slot = &settle->slots[at];
        if (slot->claim == 0) {
            return slot;
        }
        const struct settle_claim *claim = &claims[slot->claim - 1];
        if (claim->coupon_id == coupon_id && slice_equal(claim->user_id, user_id)) {
            return slot;
        }
    }
}

static void slots_fill(struct settle *settle) {
    const struct settlement *settlement = settle->settlement;
    settle->text_count = 0;
    memset(settle->slots, 0, (settle->slot_mask + 1) * sizeof(settle->slots[0]));
    for (size_t i = 0; i < settlement->count; i++) {
        const struct settle_claim *claim = &settlement->claims[i];
        if (claim->raw.size == 0) {
            slot_find(settle, claim->coupon_id, claim->user_id)->claim = (uint32_t)i + 1;
        }
    }
}

static struct slice text_keep(struct slice text, char *room, size_t size_max) {
    assert(text.size <= size_max);
    memcpy(room, text.size ? text.bytes : "", text.size);
    return (struct slice){room, text.size};
}

static void holder_found(void *context, const struct issue_row *issue) {
    struct settle *settle = context;
    struct holding_slot *slot = slot_find(settle, issue->reference.coupon_id, issue->user_id);
    if (slot->claim == 0 || slot->held) {
        return; /* of another than asked: a store may tell more */
    }
    assert(settle->text_count < settle->settlement->count);
    struct holding_texts *texts = &settle->texts[settle->text_count++];
    slot->held = true;
    slot->rank = issue->reference.rank;
    slot->issued_at_us = issue->issued_at_us;
    slot->claim_id = text_keep(issue->claim_id, texts->claim_id, CLAIM_ID_MAX);
    slot->request_key = text_keep(issue->request_key, texts->request_key, REQUEST_KEY_MAX);
}

static bool is_same_claim(const struct settle_claim *claim, const struct holding_slot *slot) {
    return claim->claim_id.size > 0 && slice_equal(claim->claim_id, slot->claim_id);
}

static void tell_holding(struct settle_claim *claim, const struct holding_slot *slot) {
    claim->outcome = SETTLE_ALREADY_ISSUED;
    claim->rank = slot->rank;
    claim->issued_at_us = slot->issued_at_us;
    claim->same_claim = is_same_claim(claim, slot);
    claim->same_key =
        claim->request_key.size > 0 && slice_equal(claim->request_key, slot->request_key);
}

/* ---- judging ---- */

static int by_id(const void *a, const void *b) {
    uint64_t first = *(const uint64_t *)a;
    uint64_t second = *(const uint64_t *)b;
    return (first > second) - (first < second);
}

/* The coupons that the claims name, each once. */
static void coupons_gather(struct settle *settle) {
    const struct settlement *settlement = settle->settlement;
    size_t count = 0;
    for (size_t i = 0; i < settlement->count; i++) {
        if (settlement->claims[i].raw.size == 0) {
            settle->ids[count++] = settlement->claims[i].coupon_id;
        }
    }
    qsort(settle->ids, count, sizeof(settle->ids[0]), by_id);
    settle->coupon_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || settle->ids[i] != settle->ids[i - 1]) {
            settle->ids[settle->coupon_count++] = settle->ids[i];
        }
    }
}

static struct settle_coupon *coupon_find(const struct settle *settle, uint64_t coupon_id) {
    const uint64_t *id = bsearch(&coupon_id, settle->ids, settle->coupon_count, sizeof(*id), by_id);
    assert(id);
    return &settle->coupons[id - settle->ids];
}

static enum settle_outcome judge(const struct settle_coupon *coupon, int64_t now_us) {
    if (coupon->paused) {
        return SETTLE_PAUSED;
    }
    if (now_us < coupon->issue_start_us) {
        return SETTLE_NOT_STARTED;
    }
    if (now_us >= coupon->issue_end_us) {
        return SETTLE_ENDED;
    }
    bool out = coupon->total_quantity != COUPON_UNLIMITED &&
               coupon->issued_quantity >= coupon->total_quantity;
    return out || coupon->issued_quantity == UINT32_MAX ? SETTLE_SOLD_OUT : SETTLE_ISSUED;
}

static void grant(struct settle *settle, struct settle_claim *claim, struct settle_coupon *coupon,
                  int64_t now_us, struct holding_slot *slot) {
    coupon->issued_quantity++;
    coupon->latest_us = now_us;
    claim->rank = coupon->issued_quantity;
    claim->issued_at_us = now_us;
    slot->held = true;
    slot->rank = claim->rank;
    slot->issued_at_us = now_us;
    slot->claim_id = claim->claim_id;
    slot->request_key = claim->request_key;
    settle->rows[settle->row_count++] = (struct issue_row){
        .reference = {claim->coupon_id, claim->rank},
        .user_id = claim->user_id,
        .claim_id = claim->claim_id,
        .request_key = claim->request_key,
        .issued_at_us = now_us,
    };
}

static void decide(struct settle *settle, struct settle_claim *claim) {
    claim->same_claim = false;
    claim->same_key = false;
    claim->rank = 0;
    claim->issued_at_us = 0;
    claim->starts_us = 0;
    if (claim->raw.size > 0) {
        claim->outcome = SETTLE_UNREADABLE;
        return;
    }
    struct settle_coupon *coupon = coupon_find(settle, claim->coupon_id);
    struct holding_slot *slot = slot_find(settle, claim->coupon_id, claim->user_id);
    assert(slot->claim > 0);
    /* what was issued for this very claim is told also when the coupon is archived by now */
    if (slot->held && (coupon->known || is_same_claim(claim, slot))) {
        tell_holding(claim, slot);
        return;
    }
    if (!coupon->known) {
        claim->outcome = SETTLE_NO_SUCH_COUPON;
        return;
    }
    int64_t now_us = claim->admitted_us ? claim->admitted_us : settle->now_us;
    now_us = now_us > coupon->latest_us ? now_us : coupon->latest_us;
    claim->outcome = judge(coupon, now_us);
    claim->starts_us = coupon->issue_start_us;
    if (claim->outcome == SETTLE_ISSUED && settle->lock) {
        grant(settle, claim, coupon, now_us, slot);
    } else if (claim->outcome == SETTLE_ISSUED) {
        claim->outcome = SETTLE_WAITING;
    }
}

static void decide_all(struct settle *settle) {
    struct settlement *settlement = settle->settlement;
    settle->row_count = 0;
    settle->reject_count = 0;
    for (size_t i = 0; i < settlement->count; i++) {
        struct settle_claim *claim = &settlement->claims[i];
        decide(settle, claim);
        if (claim->outcome != SETTLE_ISSUED) {
            settle->rejects[settle->reject_count++] = claim;
        }
    }
}

static bool is_refused_by_terms(const struct settle_claim *claim) {
    return claim->outcome >= SETTLE_PAUSED && claim->outcome <= SETTLE_SOLD_OUT;
}

/* What was refused unlooked, for those who hold one all the same. */
static void tell_refused(struct settle *settle) {
    struct settlement *settlement = settle->settlement;
    for (size_t i = 0; i < settlement->count; i++) {
        struct settle_claim *claim = &settlement->claims[i];
        if (is_refused_by_terms(claim)) {
            const struct holding_slot *slot = slot_find(settle, claim->coupon_id, claim->user_id);
            if (slot->held) {
                tell_holding(claim, slot);
            }
        }
    }
}

/* ---- the transaction ---- */

/* Where it must stand, or STATUS_NOT_FOUND. */
static int cursor_take(struct settle *settle, struct complaint *complaint) {
    struct ledger_cursor *wanted = settle->settlement->cursor;
    struct ledger_cursor present = {.partition = wanted->partition};
    int status = shared(settle)->cursor_lock(settle->ledger, &present, complaint);
    if (status == STATUS_OK && (present.epoch != wanted->epoch || present.n != wanted->n)) {
        *wanted = present;
        return complain(complaint, STATUS_NOT_FOUND, "partition %u is at entry %llu of epoch %llu",
                        present.partition, (unsigned long long)present.n,
                        (unsigned long long)present.epoch);
    }
    return status;
}

static int coupons_take(struct settle *settle, struct complaint *complaint) {
    if (settle->coupon_count == 0) {
        return STATUS_OK;
    }
    int status = STATUS_OK;
    if (settle->lock) {
        status = shared(settle)->coupons_lock(settle->ledger, settle->ids, settle->coupon_count,
                                              complaint);
    }
    for (size_t i = 0; i < settle->coupon_count; i++) {
        settle->coupons[i] = (struct settle_coupon){.id = settle->ids[i]};
    }
    return status < 0
               ? status
               : shared(settle)->coupons_read(settle->ledger, settle->coupons, settle->coupon_count,
                                              &settle->now_us, complaint);
}

static int holders_take(struct settle *settle, struct complaint *complaint) {
    slots_fill(settle);
    if (!settle->look || settle->coupon_count == 0) {
        return STATUS_OK;
    }
    return shared(settle)->holders_read(settle->ledger, settle->settlement->claims,
                                        settle->settlement->count, holder_found, settle, complaint);
}

/* Of a turn that has not looked. Whom it granted one is not asked about: the key tells. */
static int refused_take(struct settle *settle, struct complaint *complaint) {
    const struct settlement *settlement = settle->settlement;
    bool refused = false;
    for (size_t i = 0; !refused && i < settlement->count; i++) {
        refused = is_refused_by_terms(&settlement->claims[i]);
    }
    if (settle->look || !refused) {
        return STATUS_OK;
    }
    int status = shared(settle)->holders_read(settle->ledger, settlement->claims, settlement->count,
                                              holder_found, settle, complaint);
    if (status == STATUS_OK) {
        tell_refused(settle);
    }
    return status;
}

static int issues_write(struct settle *settle, struct complaint *complaint) {
    if (settle->row_count == 0) {
        return STATUS_OK;
    }
    settle->count_count = 0;
    for (size_t i = 0; i < settle->row_count; i++) {
        /* a coupon's first row of this settlement is followed by all its others, in time */
        const struct settle_coupon *coupon =
            coupon_find(settle, settle->rows[i].reference.coupon_id);
        if (settle->rows[i].reference.rank == coupon->issued_quantity) {
            settle->counts[settle->count_count++] =
                (struct issued_count){coupon->id, coupon->issued_quantity};
        }
    }
    int status = ledger_rows_check(settle->rows, settle->row_count, complaint);
    return status < 0 ? status
                      : shared(settle)->write(settle->ledger, settle->rows, settle->row_count,
                                              settle->counts, settle->count_count, complaint);
}

static int queue_write(struct settle *settle, struct complaint *complaint) {
    const struct settlement *settlement = settle->settlement;
    struct ledger_cursor moved = *settlement->cursor;
    int status = STATUS_OK;
    if (settle->reject_count > 0) {
        status = shared(settle)->rejects_write(settle->ledger, &moved, settle->rejects,
                                               settle->reject_count, complaint);
    }
    moved.n = settlement->cursor_n;
    return status < 0 ? status : shared(settle)->cursor_move(settle->ledger, &moved, complaint);
}

/* Coupons first: who was not among the holders later held nothing then, so that what the terms
 * said was true of them. */
static int look_around(void *context, struct complaint *complaint) {
    struct settle *settle = context;
    int status = coupons_take(settle, complaint);
    if (status == STATUS_OK) {
        status = holders_take(settle, complaint);
    }
    if (status == STATUS_OK) {
        decide_all(settle);
    }
    return status;
}

static int settle_change(void *context, struct complaint *complaint) {
    struct settle *settle = context;
    int status = settle->settlement->cursor ? cursor_take(settle, complaint) : STATUS_OK;
    if (status == STATUS_OK) {
        status = coupons_take(settle, complaint);
    }
    if (status == STATUS_OK) {
        status = holders_take(settle, complaint);
    }
    if (status < 0) {
        return status;
    }
    decide_all(settle);
    status = refused_take(settle, complaint);
    if (status == STATUS_OK) {
        status = issues_write(settle, complaint);
    }
    return status == STATUS_OK && settle->settlement->cursor ? queue_write(settle, complaint)
                                                             : status;
}

/* ---- the calls ---- */

static void settle_done(struct settle *settle) {
    free(settle->coupons);
    free(settle->ids);
    free(settle->slots);
    free(settle->texts);
    free(settle->rows);
    free(settle->counts);
    free(settle->rejects);
}

static int settle_init(struct settle *settle, struct ledger *ledger,
                       struct settlement *settlement) {
    assert(ledger->shared);
    assert(settlement->count <= SETTLE_CLAIMS_MAX);
    size_t room = settlement->count ? settlement->count : 1;
    size_t slots = 16;
    while (slots < 2 * room) {
        slots *= 2;
    }
    *settle = (struct settle){.ledger = ledger, .settlement = settlement, .slot_mask = slots - 1};
    settle->coupons = calloc(room, sizeof(settle->coupons[0]));
    settle->ids = calloc(room, sizeof(settle->ids[0]));
    settle->slots = malloc(slots * sizeof(settle->slots[0]));
    settle->texts = malloc(room * sizeof(settle->texts[0]));
    settle->rows = calloc(room, sizeof(settle->rows[0]));
    settle->counts = calloc(room, sizeof(settle->counts[0]));
    settle->rejects = calloc(room, sizeof(settle->rejects[0]));
    if (!settle->coupons || !settle->ids || !settle->slots || !settle->texts || !settle->rows ||
        !settle->counts || !settle->rejects) {
        settle_done(settle);
        return STATUS_NO_MEMORY;
    }
    coupons_gather(settle);
    return STATUS_OK;
}

int ledger_settle(struct ledger *ledger, struct settlement *settlement,
                  struct complaint *complaint) {
    struct settle settle;
    if (settle_init(&settle, ledger, settlement)) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory for a settlement");
    }
    settle.lock = true;
    settle.look = !settlement->fresh;
    int status = ledger->shared->transact(ledger, settle_change, &settle, complaint);
    if (status == STATUS_CONFLICT && !settle.look) {
        settle.look = true;
        status = ledger->shared->transact(ledger, settle_change, &settle, complaint);
    }
    if (status == STATUS_OK && settle.row_count == 0 && !settlement->cursor) {
        /* its COMMIT wrote nothing */
        status = ledger_barrier(ledger, ledger->sessions, complaint);
    }
    settle_done(&settle);
    return status;
}

static bool all_wait(const struct settle_claim *claims, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (claims[i].outcome != SETTLE_WAITING) {
            return false;
        }
    }
    return true;
}

int ledger_look(struct ledger *ledger, struct settle_claim *claims, size_t count,
                struct complaint *complaint) {
    struct settlement settlement = {.claims = claims, .count = count};
    struct settle settle;
    if (settle_init(&settle, ledger, &settlement)) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory to look at claims");
    }
    settle.look = true;
    int status = ledger->shared->observe(ledger, look_around, &settle, complaint);
    settle_done(&settle);
    if (status == STATUS_OK && !all_wait(claims, count)) {
        status = ledger_barrier(ledger, ledger->sessions, complaint);
    }
    return status;
}

uint64_t ledger_session(const struct ledger *ledger) {
    return ledger->sessions;
}

int ledger_barrier(struct ledger *ledger, uint64_t session, struct complaint *complaint) {
    assert(ledger->shared);
    if (!ledger->shows_unsynced) {
        return STATUS_OK;
    }
    int status = ledger->sessions == session ? ledger_probe(ledger, complaint) : STATUS_OK;
    return status == STATUS_OK && ledger->sessions != session
               ? complain(complaint, STATUS_IO,
                          "the session that had read was lost before what it read was durable")
               : status;
}

bool ledger_is_shared(const struct ledger *ledger) {
    return ledger->shared != NULL;
}

int ledger_now_us(struct ledger *ledger, int64_t *ret_now_us) {
    assert(ledger->shared);
    return ledger->shared->now_us(ledger, ret_now_us);
}

int ledger_holding_read(struct ledger *ledger, uint64_t coupon_id, struct slice user_id,
                        struct issue_record *ret_issue) {
    assert(ledger->shared);
    return ledger->shared->holding_read(ledger, coupon_id, user_id, ret_issue);
}

int ledger_holdings_read(struct ledger *ledger, struct slice user_id, uint64_t after_coupon_id,
                         size_t limit, struct issue_record *ret_issues, size_t *ret_count) {
    assert(ledger->shared);
    assert(limit >= 1 && limit <= LEDGER_SLICE_MAX);
    return ledger->shared->holdings_read(ledger, user_id, after_coupon_id, limit, ret_issues,
                                         ret_count);
}
