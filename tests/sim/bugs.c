/* The planted bugs: see bugs.h. Without one every call here goes straight through. */
#include "sim/bugs.h"

#include "sim/run.h"

#include <sqlite3.h>

enum bug {
    BUG_NONE,
    BUG_REPLY_BEFORE_COMMIT,
    BUG_REFUSAL_BEFORE_COMMIT,
    BUG_RANK_REUSE,
    BUG_BATCH_LOST,
    BUG_QUANTITY_PLUS_ONE,
    BUG_QUANTITY_MINUS_ONE,
    BUG_STALE_AFTER_PATCH,
    BUG_ARCHIVE_FORGOTTEN,
    BUG_KEY_FORGOTTEN,
    BUG_CLOCK_STEPS_BACK,
    BUG_CLOCK_NOT_RESTORED,
    BUG_ABORT_FORGOTTEN,
    BUG_AMBIGUOUS_TAKEN_FOR_KNOWN,
    BUG_HOLDER_FORGOTTEN,
    BUG_FSYNC_SKIPPED,
    BUG_DB_SYNC_SKIPPED,
    BUG_FOLDER_SYNC_SKIPPED,
    BUG_RECOVERY_NOT_FOLDED,
    BUG_PROBE_FORGOTTEN,
    BUG_LOG_NOT_RENEWED,
    BUG_LOG_COPY_NOT_SYNCED,
    BUG_BOARD_STALE,
    BUGS
};

static const char *const names[BUGS] = {
    [BUG_NONE] = "none",
    [BUG_REPLY_BEFORE_COMMIT] = "reply-before-commit",
    [BUG_REFUSAL_BEFORE_COMMIT] = "sold-out-before-commit",
    [BUG_RANK_REUSE] = "rank-reuse-after-rollback",
    [BUG_BATCH_LOST] = "batch-lost-on-error",
    [BUG_QUANTITY_PLUS_ONE] = "quantity-plus-one",
    [BUG_QUANTITY_MINUS_ONE] = "quantity-minus-one",
    [BUG_STALE_AFTER_PATCH] = "stale-after-patch",
    [BUG_ARCHIVE_FORGOTTEN] = "archive-forgotten",
    [BUG_KEY_FORGOTTEN] = "replay-forgets-the-key",
    [BUG_CLOCK_STEPS_BACK] = "clock-steps-back",
    [BUG_CLOCK_NOT_RESTORED] = "clock-not-restored",
    [BUG_ABORT_FORGOTTEN] = "abort-forgotten",
    [BUG_AMBIGUOUS_TAKEN_FOR_KNOWN] = "ambiguous-taken-for-known",
    [BUG_HOLDER_FORGOTTEN] = "holder-forgotten-at-start",
    [BUG_FSYNC_SKIPPED] = "fsync-skipped",
    [BUG_DB_SYNC_SKIPPED] = "checkpoint-without-sync",
    [BUG_FOLDER_SYNC_SKIPPED] = "folder-sync-skipped",
    [BUG_RECOVERY_NOT_FOLDED] = "recovery-not-folded",
    [BUG_PROBE_FORGOTTEN] = "probe-forgotten",
    [BUG_LOG_NOT_RENEWED] = "log-not-renewed",
    [BUG_LOG_COPY_NOT_SYNCED] = "log-copy-not-synced",
    [BUG_BOARD_STALE] = "board-stale-after-patch",
};

static enum bug chosen;
static bool append_failed; /* of BUG_RANK_REUSE: the last one did, and nobody was told */
static const struct job_list *under_way;

bool bugs_choose(const char *name) {
    for (unsigned i = 0; i < BUGS; i++) {
        if (!name || strcmp(names[i], name) == 0) {
            chosen = (enum bug)i;
            return true;
        }
    }
    return false;
}

const char *bugs_name(unsigned at) {
    return at + 1 < BUGS ? names[at + 1] : NULL;
}

void bugs_begin(void) {
    append_failed = false;
    under_way = NULL;
    world->plants_fsync_skip = chosen == BUG_FSYNC_SKIPPED;
    world->plants_db_sync_skip = chosen == BUG_DB_SYNC_SKIPPED;
    world->plants_names_sync_skip = chosen == BUG_FOLDER_SYNC_SKIPPED;
    world->plants_log_renewal_skip = chosen == BUG_LOG_NOT_RENEWED;
    world->plants_log_copy_sync_skip = chosen == BUG_LOG_COPY_NOT_SYNCED;
}

static bool is_known(int status) {
    return status == STATUS_FULL || status == STATUS_IO || status == STATUS_NO_MEMORY;
}

/* ---- the step and its commit ---- */

void __real_issuer_step(struct core *core, int64_t now_us, const struct job_list *batches);
void __wrap_issuer_step(struct core *core, int64_t now_us, const struct job_list *batches);

void __wrap_issuer_step(struct core *core, int64_t now_us, const struct job_list *batches) {
    under_way = core->state == ISSUER_READY ? batches : NULL;
    __real_issuer_step(core, now_us, batches);
    under_way = NULL;
}

static void tell_early(bool granted) {
    IN_SIMULATOR;
    if (under_way && !world->dead) {
        crowd_tell_early(under_way, granted);
    }
}

/* `rows` belong to the core, which does not read them again. */
static void forget_keys(const struct issue_row *rows, size_t count) {
    struct issue_row *mine = (struct issue_row *)rows;
    for (size_t i = 0; i < count; i++) {
        mine[i].request_key = (struct slice){NULL, 0};
    }
}

int __real_ledger_append(struct ledger *ledger, const struct issue_row *issues, size_t issue_count,
                         const struct issued_count *counts, size_t coupon_count,
                         struct complaint *complaint);
int __wrap_ledger_append(struct ledger *ledger, const struct issue_row *issues, size_t issue_count,
                         const struct issued_count *counts, size_t coupon_count,
                         struct complaint *complaint);

int __wrap_ledger_append(struct ledger *ledger, const struct issue_row *issues, size_t issue_count,
                         const struct issued_count *counts, size_t coupon_count,
                         struct complaint *complaint) {
    if (chosen == BUG_REPLY_BEFORE_COMMIT || chosen == BUG_REFUSAL_BEFORE_COMMIT) {
        tell_early(chosen == BUG_REPLY_BEFORE_COMMIT);
    } else if (chosen == BUG_KEY_FORGOTTEN) {
        forget_keys(issues, issue_count);
    }
    int status = __real_ledger_append(ledger, issues, issue_count, counts, coupon_count, complaint);
    bool hidden =
        is_known(status) && !world->dead && (chosen == BUG_RANK_REUSE || chosen == BUG_BATCH_LOST);
    append_failed = hidden && chosen == BUG_RANK_REUSE;
    if (status == STATUS_AMBIGUOUS && chosen == BUG_AMBIGUOUS_TAKEN_FOR_KNOWN) {
        return STATUS_IO;
    }
    return hidden ? STATUS_OK : status;
}

void __real_engine_commit(struct engine *engine);
void __wrap_engine_commit(struct engine *engine);
void __real_engine_abort(struct engine *engine);
void __wrap_engine_abort(struct engine *engine);

void __wrap_engine_commit(struct engine *engine) {
    if (append_failed) {
        append_failed = false;
        __real_engine_abort(engine);
        return;
    }
    __real_engine_commit(engine);
}

void __wrap_engine_abort(struct engine *engine) {
    if (chosen == BUG_ABORT_FORGOTTEN) {
        __real_engine_commit(engine);
        return;
    }
    __real_engine_abort(engine);
}

/* ---- terms ---- */

static struct engine_terms spoiled(const struct engine_terms *terms) {
    struct engine_terms spoiled = *terms;
    bool limited = terms->total_quantity != ENGINE_UNLIMITED;
    if (chosen == BUG_QUANTITY_PLUS_ONE && limited) {
        spoiled.total_quantity++;
    } else if (chosen == BUG_QUANTITY_MINUS_ONE && limited && terms->total_quantity > 0) {
        spoiled.total_quantity--;
    }
    return spoiled;
}

int __real_engine_coupon_add(struct engine *engine, uint64_t coupon_id,
                             const struct engine_terms *terms);
int __wrap_engine_coupon_add(struct engine *engine, uint64_t coupon_id,
                             const struct engine_terms *terms);

int __wrap_engine_coupon_add(struct engine *engine, uint64_t coupon_id,
                             const struct engine_terms *terms) {
    struct engine_terms mine = spoiled(terms);
    return __real_engine_coupon_add(engine, coupon_id, &mine);
}

int __real_engine_coupon_change(struct engine *engine, uint64_t coupon_id,
                                const struct engine_terms *terms);
int __wrap_engine_coupon_change(struct engine *engine, uint64_t coupon_id,
                                const struct engine_terms *terms);

int __wrap_engine_coupon_change(struct engine *engine, uint64_t coupon_id,
                                const struct engine_terms *terms) {
    return chosen == BUG_STALE_AFTER_PATCH ? STATUS_OK
                                           : __real_engine_coupon_change(engine, coupon_id, terms);
}

int __real_board_put(struct board *board, const struct coupon_record *coupon);
int __wrap_board_put(struct board *board, const struct coupon_record *coupon);

int __wrap_board_put(struct board *board, const struct coupon_record *coupon) {
    bool stale = chosen == BUG_BOARD_STALE && board_find(board, coupon->id);
    return stale ? STATUS_OK : __real_board_put(board, coupon);
}

void __real_engine_coupon_remove(struct engine *engine, uint64_t coupon_id);
void __wrap_engine_coupon_remove(struct engine *engine, uint64_t coupon_id);

void __wrap_engine_coupon_remove(struct engine *engine, uint64_t coupon_id) {
    if (chosen != BUG_ARCHIVE_FORGOTTEN) {
        __real_engine_coupon_remove(engine, coupon_id);
    }
}

int __real_engine_restore(struct engine *engine, uint64_t coupon_id, uint32_t rank,
                          struct digest user, int64_t issued_at_us);
int __wrap_engine_restore(struct engine *engine, uint64_t coupon_id, uint32_t rank,
                          struct digest user, int64_t issued_at_us);

int __wrap_engine_restore(struct engine *engine, uint64_t coupon_id, uint32_t rank,
                          struct digest user, int64_t issued_at_us) {
    if (chosen == BUG_HOLDER_FORGOTTEN && rank % 8 == 3) {
        user.low++;
    }
    return __real_engine_restore(engine, coupon_id, rank, user, issued_at_us);
}

/* ---- time ---- */

int64_t __real_clock_now(struct clock *clock);
int64_t __wrap_clock_now(struct clock *clock);

int64_t __wrap_clock_now(struct clock *clock) {
    if (chosen == BUG_CLOCK_STEPS_BACK) {
        clock->last_us = 0;
    }
    return __real_clock_now(clock);
}

int __real_ledger_latest_us(struct ledger *ledger, int64_t *ret_latest_us);
int __wrap_ledger_latest_us(struct ledger *ledger, int64_t *ret_latest_us);

int __wrap_ledger_latest_us(struct ledger *ledger, int64_t *ret_latest_us) {
    int status = __real_ledger_latest_us(ledger, ret_latest_us);
    if (status == STATUS_OK && chosen == BUG_CLOCK_NOT_RESTORED) {
        *ret_latest_us = 0;
    }
    return status;
}

/* ---- the record ---- */

int __real_ledger_probe(struct ledger *ledger, struct complaint *complaint);
int __wrap_ledger_probe(struct ledger *ledger, struct complaint *complaint);

int __wrap_ledger_probe(struct ledger *ledger, struct complaint *complaint) {
    return chosen == BUG_PROBE_FORGOTTEN ? STATUS_IO : __real_ledger_probe(ledger, complaint);
}

int __real_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *ret_frames,
                                     int *ret_folded);
int __wrap_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *ret_frames,
                                     int *ret_folded);

int __wrap_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *ret_frames,
                                     int *ret_folded) {
    if (chosen == BUG_RECOVERY_NOT_FOLDED && world->phase == PHASE_STARTING) {
        *ret_frames = 0;
        *ret_folded = 0;
        return SQLITE_OK;
    }
    return __real_sqlite3_wal_checkpoint_v2(db, name, mode, ret_frames, ret_folded);
}

/* ---- no bug: folds that come sooner ---- */

typedef int (*wal_hook)(void *context, sqlite3 *db, const char *name, int frames);
static struct {
    wal_hook hook;
    void *context;
} hooked;

/* What the ledger is told of its log is scaled, so that what it does at 250 and at 1,000 frames
 * happens in runs of some dozen commits. */
static int scaled_hook(void *context, sqlite3 *db, const char *name, int frames) {
    (void)context;
    return hooked.hook(hooked.context, db, name, frames * (int)world->log_scale);
}

void *__real_sqlite3_wal_hook(sqlite3 *db, wal_hook hook, void *context);
void *__wrap_sqlite3_wal_hook(sqlite3 *db, wal_hook hook, void *context);

void *__wrap_sqlite3_wal_hook(sqlite3 *db, wal_hook hook, void *context) {
    hooked.hook = hook;
    hooked.context = context;
    return __real_sqlite3_wal_hook(db, scaled_hook, NULL);
}
