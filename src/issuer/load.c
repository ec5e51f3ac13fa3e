/* Memory rebuilt from the record at start. What it finds impossible it refuses: a server
 * that cannot trust its record must not hand out coupons. See step.h. */
#include "issuer/step.h"

/* Issues wait in a small ring, so that the index lines of the next ones are on their way
 * while one is put in: at ten million issues each would be a cache miss. */
enum { RING_SIZE = 32 };

struct loading {
    struct core *core;
    void (*progress)(void *, uint64_t, uint64_t);
    void *context;
    uint64_t coupon_id; /* the coupon whose issues come */
    uint32_t expected;  /* its issued_quantity */
    uint32_t seen;
    uint64_t taken; /* into the ring, of all */
    uint64_t given; /* out of it */
    struct {
        struct issue_reference reference;
        struct digest user;
        int64_t issued_at_us;
    } ring[RING_SIZE];
};

static const char *restore_fault(int status) {
    switch (status) {
    case STATUS_INVALID:
        return "is not the next rank";
    case STATUS_EXISTS:
        return "goes to a user who holds one already";
    default:
        return "belongs to no coupon";
    }
}

static int restore_oldest(struct loading *loading) {
    struct core *core = loading->core;
    size_t slot = loading->given++ % RING_SIZE;
    struct issue_reference reference = loading->ring[slot].reference;
    int status = engine_restore(core->engine, reference.coupon_id, reference.rank,
                                loading->ring[slot].user, loading->ring[slot].issued_at_us);
    if (status == STATUS_NO_MEMORY) {
        return complain(&core->why, status, "not enough memory to hold the record");
    }
    if (status) {
        return complain(&core->why, STATUS_DAMAGED,
                        "the record is damaged: rank %u of coupon %llu %s; run coupon verify",
                        reference.rank, (unsigned long long)reference.coupon_id,
                        restore_fault(status));
    }
    return STATUS_OK;
}

static int restore_rest(struct loading *loading) {
    while (loading->given < loading->taken) {
        int status = restore_oldest(loading);
        if (status) {
            return status;
        }
    }
    return STATUS_OK;
}

static int finish_coupon(struct loading *loading) {
    int status = restore_rest(loading);
    if (status == STATUS_OK && loading->seen != loading->expected) {
        return complain(&loading->core->why, STATUS_DAMAGED,
                        "the record is damaged: coupon %llu counts %u issues and has %u; "
                        "run coupon verify",
                        (unsigned long long)loading->coupon_id, loading->expected, loading->seen);
    }
    return status;
}

static int load_coupon(void *context, const struct coupon_record *coupon) {
    struct loading *loading = context;
    struct core *core = loading->core;
    int status = finish_coupon(loading);
    if (status) {
        return status;
    }
    if (coupon->total_quantity != COUPON_UNLIMITED &&
        coupon->issued_quantity > coupon->total_quantity) {
        return complain(&core->why, STATUS_DAMAGED,
                        "the record is damaged: coupon %llu has %u issues of %lld; "
                        "run coupon verify",
                        (unsigned long long)coupon->id, coupon->issued_quantity,
                        (long long)coupon->total_quantity);
    }
    struct engine_terms terms = core_terms(coupon);
    status = engine_coupon_add(core->engine, coupon->id, &terms);
    if (status == STATUS_OK) {
        status = board_put(core->board, coupon);
    }
    if (status) {
        return complain(&core->why, status, "coupon %llu does not fit into memory (%s)",
                        (unsigned long long)coupon->id, status_name(status));
    }
    loading->coupon_id = coupon->id;
    loading->expected = coupon->issued_quantity;
    loading->seen = 0;
    return STATUS_OK;
}

static int load_issue(void *context, const struct issue_row *issue) {
    struct loading *loading = context;
    if (atomic_load_explicit(&loading->core->hurry, memory_order_relaxed)) {
        return STATUS_STOPPED;
    }
    if (loading->taken - loading->given == RING_SIZE) {
        int status = restore_oldest(loading);
        if (status) {
            return status;
        }
    }
    size_t slot = loading->taken++ % RING_SIZE;
    struct digest user = digest_of(&loading->core->digest_key, issue->user_id);
    loading->ring[slot].reference = issue->reference;
    loading->ring[slot].user = user;
    loading->ring[slot].issued_at_us = issue->issued_at_us;
    engine_prefetch(loading->core->engine, issue->reference.coupon_id, user);
    loading->seen++;
    return STATUS_OK;
}

static void load_progress(void *context, uint64_t visited, uint64_t total) {
    struct loading *loading = context;
    if (loading->progress) {
        loading->progress(loading->context, visited, total);
    }
}

int core_load(struct core *core, void (*progress)(void *, uint64_t, uint64_t), void *context) {
    assert(core->state == ISSUER_STARTING);
    struct loading loading = {.core = core, .progress = progress, .context = context};
    struct ledger_visitor visitor = {
        .context = &loading,
        .coupon = load_coupon,
        .issue = load_issue,
        .progress = load_progress,
    };
    int status = ledger_visit(core->ledger, &visitor, &core->why);
    if (status == STATUS_OK) {
        status = finish_coupon(&loading);
    }
    if (status != STATUS_STOPPED) { /* given up, it is no verdict on the record */
        core->state = status ? ISSUER_BROKEN : ISSUER_READY;
    }
    return status;
}
