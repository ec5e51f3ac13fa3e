/* Reads of a shared ledger, one after the other in a thread of their own, and between them the
 * quantities of all coupons for /metrics, which are asked of memory. See reader.h. */
#include "issuer/reader.h"

#include <stdlib.h>

/* ---- commands ---- */

/* Behind the first of several reads: the barrier is for all of them. */
static void note_session(struct reader *reader) {
    reader->session = reader->session ? reader->session : ledger_session(reader->ledger);
}

/* A coupon that has no issues is told from one that does not exist. */
static int read_issues(struct reader *reader, struct command *command) {
    int status = ledger_issues_read(reader->ledger, command->reference, command->limit,
                                    command->issues, &command->issue_count);
    if (status == STATUS_OK && command->issue_count == 0) {
        status = ledger_coupon_read(reader->ledger, command->reference.coupon_id, &command->coupon);
    }
    return status;
}

static int read_holding(struct reader *reader, struct command *command) {
    uint64_t coupon_id = command->reference.coupon_id;
    int status = ledger_holding_read(reader->ledger, coupon_id, command->user_id, &command->issue);
    if (status == STATUS_NOT_FOUND) {
        int known = ledger_coupon_read(reader->ledger, coupon_id, &command->coupon);
        command->known = known == STATUS_OK;
        return known == STATUS_OK ? STATUS_NOT_FOUND : known;
    }
    command->known = status == STATUS_OK;
    return status;
}

static int add_holdings(struct command *command, const struct issue_record *issues, size_t count) {
    size_t needed = command->holding_count + count;
    if (needed > command->holding_capacity) {
        size_t capacity = needed * 2;
        struct holding *holdings = realloc(command->holdings, capacity * sizeof(holdings[0]));
        if (!holdings) {
            return STATUS_NO_MEMORY;
        }
        command->holdings = holdings;
        command->holding_capacity = capacity;
    }
    for (size_t i = 0; i < count; i++) {
        command->holdings[command->holding_count++] =
            (struct holding){issues[i].reference, issues[i].issued_at_us};
    }
    return STATUS_OK;
}

static int read_user_issues(struct reader *reader, struct command *command) {
    uint64_t after_id = 0;
    size_t count;
    do {
        int status = ledger_holdings_read(reader->ledger, command->user_id, after_id,
                                          LEDGER_SLICE_MAX, reader->slice, &count);
        note_session(reader);
        if (status == STATUS_OK) {
            status = add_holdings(command, reader->slice, count);
        }
        if (status) {
            return status;
        }
        after_id = count > 0 ? reader->slice[count - 1].reference.coupon_id : 0;
    } while (count == LEDGER_SLICE_MAX);
    return STATUS_OK;
}

/* The reject at the command's place counts if it is this user's. */
static int read_reject(struct reader *reader, struct command *command) {
    int status = ledger_reject_read(reader->ledger, &command->place, &command->reject);
    bool found = status == STATUS_OK && command->reject.coupon_id == command->reference.coupon_id &&
                 slice_is(command->user_id, command->reject.user_id);
    command->standing = found ? CLAIM_REFUSED : CLAIM_LOST;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* The cursor before the holding: a claim whose entry was settled by then has its row by now. */
static int read_claim(struct reader *reader, struct command *command) {
    struct ledger_cursor cursors[PARTITION_COUNT];
    uint64_t coupon_id = command->reference.coupon_id;
    int status = ledger_cursors_read(reader->ledger, cursors);
    note_session(reader);
    if (status == STATUS_OK) {
        command->standing = CLAIM_ISSUED;
        status = ledger_holding_read(reader->ledger, coupon_id, command->user_id, &command->issue);
    }
    if (status != STATUS_NOT_FOUND) {
        return status;
    }
    const struct ledger_cursor *cursor = &cursors[command->place.partition];
    if (cursor->epoch == command->place.epoch && cursor->n < command->place.n) {
        command->standing = CLAIM_PENDING; /* when there is such a coupon at all */
        return ledger_coupon_read(reader->ledger, coupon_id, &command->coupon);
    }
    status = read_reject(reader, command);
    if (status == STATUS_OK && command->standing == CLAIM_LOST) {
        status = ledger_coupon_read(reader->ledger, coupon_id, &command->coupon);
    }
    return status;
}

/* Who is told of an issue by a read relies on it as on a 201. */
static bool tells_users(const struct command *command) {
    switch (command->job.kind) {
    case JOB_ISSUE_READ:
    case JOB_HOLDING_READ:
    case JOB_USER_ISSUES_READ:
        return true;
    case JOB_CLAIM_READ:
        return command->standing != CLAIM_PENDING;
    default:
        return false;
    }
}

static int perform(struct reader *reader, struct command *command) {
    switch (command->job.kind) {
    case JOB_COUPON_READ:
        return ledger_coupon_read(reader->ledger, command->coupon.id, &command->coupon);
    case JOB_COUPONS_READ:
        return ledger_coupons_read(reader->ledger, command->after_id, command->limit,
                                   command->coupons, &command->coupon_count);
    case JOB_ISSUE_READ:
        return ledger_issue_read(reader->ledger, command->reference, &command->issue);
    case JOB_HOLDING_READ:
        return read_holding(reader, command);
    case JOB_ISSUES_READ:
        return read_issues(reader, command);
    case JOB_USER_ISSUES_READ:
        return read_user_issues(reader, command);
    case JOB_AUDITS_READ:
        return ledger_audits_read(reader->ledger, command->after_id, command->limit,
                                  command->audits, &command->audit_count);
    case JOB_CLAIM_READ:
        return read_claim(reader, command);
    case JOB_COUPON_CREATE:
    case JOB_COUPON_CHANGE:
    case JOB_CLAIMS:
        break;
    }
    assert(false && "a command that reads");
    abort();
}

static void answer(struct reader *reader, struct command *command) {
    reader->session = 0;
    command->status = perform(reader, command);
    note_session(reader);
    if (command->status == STATUS_OK && tells_users(command) &&
        ledger_barrier(reader->ledger, reader->session, NULL)) {
        command->status = STATUS_IO;
    }
    command->job.done(&command->job);
}

/* ---- quantities ---- */

static void publish(struct reader *reader, const struct coupon_record *coupon) {
    if (coupon->archived_us) {
        return;
    }
    struct board_entry *entry = board_find(reader->board, coupon->id);
    bool room = entry || board_count(reader->board) < reader->coupons_max;
    bool same = entry && entry->total_quantity == coupon->total_quantity;
    if (same) {
        atomic_store(&entry->issued_quantity, coupon->issued_quantity);
    } else if (room && board_put(reader->board, coupon) == STATUS_OK) {
        entry = board_find(reader->board, coupon->id);
    }
    if (entry) {
        entry->step = reader->refresh;
    }
}

/* Takes down what the refresh did not meet: it is archived. */
static void take_down_old(struct reader *reader) {
    for (size_t i = 0; i < board_buckets(reader->board); i++) {
        const struct board_entry *entry = board_bucket(reader->board, i);
        while (entry) {
            const struct board_entry *next = entry->next;
            if (entry->step != reader->refresh) {
                board_remove(reader->board, entry->coupon_id);
            }
            entry = next;
        }
    }
}

/* A ledger that cannot be read keeps the quantities as they were. */
static void refresh(struct reader *reader) {
    uint64_t after_id = 0;
    uint64_t issues = 0;
    size_t count;
    reader->refresh++;
    do {
        if (ledger_coupons_read(reader->ledger, after_id, LEDGER_SLICE_MAX, reader->coupons,
                                &count)) {
            return;
        }
        for (size_t i = 0; i < count; i++) {
            issues += reader->coupons[i].archived_us ? 0 : reader->coupons[i].issued_quantity;
            publish(reader, &reader->coupons[i]);
        }
        after_id = count > 0 ? reader->coupons[count - 1].id : 0;
    } while (count == LEDGER_SLICE_MAX);
    take_down_old(reader);
    atomic_store(&reader->issues, issues);
}

/* ---- the thread ---- */

static int64_t left_us(const struct reader *reader) {
    int64_t left_us = reader->refresh_at_us - clock_monotonic_us();
    return left_us > 0 ? left_us : 0;
}

static void *read_jobs(void *context) {
    struct reader *reader = context;
    struct job_list claims;
    struct job *command;
    while (queue_take(&reader->queue, left_us(reader), &claims, &command)) {
        if (command) {
            answer(reader, (struct command *)command);
        }
        if (left_us(reader) == 0) {
            refresh(reader);
            reader->refresh_at_us = clock_monotonic_us() + reader->refresh_interval_us;
        }
    }
    ledger_close(reader->ledger, NULL);
    return NULL;
}

/* ---- opening ---- */

/* Start is refused when the record is further ahead of the server's clock than this (I5). */
static const int64_t AHEAD_MAX_US = 60 * US_PER_SECOND;

static int clock_check(struct ledger *ledger, struct complaint *complaint) {
    int64_t latest_us = 0;
    int64_t now_us = 0;
    int status = ledger_latest_us(ledger, &latest_us);
    if (status == STATUS_OK) {
        status = ledger_now_us(ledger, &now_us);
    }
    if (status) {
        return complain(complaint, status, "the record cannot be read (%s)", status_name(status));
    }
    if (latest_us - now_us > AHEAD_MAX_US) {
        return complain(complaint, STATUS_INVALID,
                        "the record is %lld s ahead of the SQL server's clock; set the clock right "
                        "before issuing coupons by it",
                        (long long)((latest_us - now_us) / US_PER_SECOND));
    }
    return STATUS_OK;
}

int ledger_open_shared(const struct ledger_sql_options *options, struct ledger **ret_ledger,
                       struct complaint *complaint) {
    struct ledger *ledger;
    int status = ledger_open_url(options, &ledger, complaint);
    if (status) {
        return status;
    }
    status = ledger_is_shared(ledger)
                 ? clock_check(ledger, complaint)
                 : complain(complaint, STATUS_INVALID,
                            "a ledger in a file has one server: start it with --data");
    if (status) {
        ledger_close(ledger, NULL);
        return status;
    }
    *ret_ledger = ledger;
    return STATUS_OK;
}

/* ---- any thread ---- */

int reader_submit(struct reader *reader, struct job *job) {
    return queue_push(&reader->queue, job);
}

int reader_start(struct reader *reader, struct ledger *ledger, size_t coupons_max,
                 int64_t refresh_interval_us) {
    *reader = (struct reader){
        .ledger = ledger, .coupons_max = coupons_max, .refresh_interval_us = refresh_interval_us};
    reader->slice = calloc(LEDGER_SLICE_MAX, sizeof(reader->slice[0]));
    reader->coupons = calloc(LEDGER_SLICE_MAX, sizeof(reader->coupons[0]));
    queue_init(&reader->queue, 1);
    if (!reader->slice || !reader->coupons || board_new(coupons_max, &reader->board) ||
        pthread_create(&reader->thread, NULL, read_jobs, reader)) {
        ledger_close(ledger, NULL);
        reader_done(reader);
        return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

void reader_stop(struct reader *reader) {
    queue_close(&reader->queue);
    pthread_join(reader->thread, NULL);
}

void reader_done(struct reader *reader) {
    board_free(reader->board);
    free(reader->slice);
    free(reader->coupons);
    *reader = (struct reader){0};
}
