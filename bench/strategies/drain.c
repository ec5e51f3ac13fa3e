/* The worker of the designs that queue, as the original's: it writes the rows that users were
 * promised. Not for: two at once, which would write every row twice.
 *
 *   LRANGE 0 99 -> one transaction of INSERT and UPDATE -> LTRIM
 *
 * Nothing says which entries a transaction had: killed between its COMMIT and LTRIM, the next one
 * writes the same rows again, and no key is there to notice. Called by pool.c and main.c. */
#include "strategy.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define ENTRIES_MAX 100
static const struct timespec PAUSE = {.tv_nsec = 20 * 1000 * 1000}; /* when there is nothing */

struct drain {
    struct desk desk;
    pthread_t thread;
    atomic_bool stopping;
};

struct entry {
    uint64_t coupon_id;
    int64_t issued_at_us;
    struct slice user_id;
};

/* "COUPON TIME USER"; what is none was not put there by us. */
static bool entry_read(const redisReply *element, struct entry *ret_entry) {
    struct slice rest = {element->str, (size_t)element->len}, coupon, time;
    uint64_t issued_at_us = 0;
    url_part_take(&rest, " ", &coupon);
    url_part_take(&rest, " ", &time);
    if (slice_to_u64(coupon, (uint64_t)JSON_INTEGER_MAX, &ret_entry->coupon_id) ||
        slice_to_u64(time, (uint64_t)TIME_US_MAX, &issued_at_us) || rest.size == 0 ||
        rest.size > USER_ID_MAX) {
        return false;
    }
    ret_entry->issued_at_us = (int64_t)issued_at_us;
    ret_entry->user_id = rest;
    return true;
}

static int insert_rows(struct desk *desk, const struct entry *entries, size_t count) {
    struct buffer statement;
    buffer_init(&statement);
    buffer_text(&statement, "INSERT INTO strategy_issues (coupon_id, user_id, issued_at) VALUES ");
    for (size_t i = 0; i < count; i++) {
        char user[SQL_TEXT_ROOM(USER_ID_MAX)];
        buffer_format(&statement, "%s(%" PRIu64 ",'%s',%" PRId64 ")", i ? "," : "",
                      entries[i].coupon_id, sql_text(desk, entries[i].user_id, user),
                      entries[i].issued_at_us);
    }
    int status = statement.failed ? STATUS_NO_MEMORY : sql_run_long(desk, buffer_view(&statement));
    buffer_done(&statement);
    return status;
}

/* One UPDATE for entries of one coupon that follow each other. */
static int raise_counts(struct desk *desk, const struct entry *entries, size_t count) {
    int status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK;) {
        size_t run = 1;
        while (i + run < count && entries[i + run].coupon_id == entries[i].coupon_id) {
            run++;
        }
        status =
            sql_run(desk, "UPDATE strategy_coupons SET issued = issued + %zu WHERE id = %" PRIu64,
                    run, entries[i].coupon_id);
        i += run;
    }
    return status;
}

static int write_rows(struct desk *desk, const struct entry *entries, size_t count) {
    int status = sql_run(desk, "START TRANSACTION");
    if (status == STATUS_OK) {
        status = insert_rows(desk, entries, count);
    }
    if (status == STATUS_OK) {
        status = raise_counts(desk, entries, count);
    }
    if (status == STATUS_OK) {
        status = sql_run(desk, "COMMIT");
    }
    if (status) {
        sql_close(desk); /* and with it the transaction */
    }
    return status;
}

/* What stands at the head of the queue; *ret_taken 0: nothing. */
static int drain_some(struct desk *desk, size_t *ret_taken) {
    struct entry entries[ENTRIES_MAX];
    size_t count = 0;
    redisReply *reply = redis_ask(desk, "LRANGE " QUEUE " 0 %d", ENTRIES_MAX - 1);
    if (!reply) {
        return STATUS_IO;
    }
    size_t taken = reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
    assert(taken <= ENTRIES_MAX);
    for (size_t i = 0; i < taken; i++) {
        count += entry_read(reply->element[i], &entries[count]);
    }
    int status = count > 0 ? write_rows(desk, entries, count) : STATUS_OK;
    freeReplyObject(reply);
    int64_t trimmed;
    if (status == STATUS_OK && taken > 0) {
        status = redis_number(desk, &trimmed, "LTRIM " QUEUE " %d -1", (int)taken);
    }
    *ret_taken = taken;
    return status;
}

static void note_failure(struct desk *desk, int status) {
    if (status && !desk->failed) {
        log_event(LOG_WARN, "drain-failed", LOG_TEXT("why", desk->why.text),
                  LOG_TEXT("hint", "tried again until it works"));
    }
    desk->failed = status != STATUS_OK;
}

static void *drain_run(void *context) {
    struct drain *drain = context;
    while (!atomic_load(&drain->stopping)) {
        size_t taken = 0;
        int status = drain_some(&drain->desk, &taken);
        note_failure(&drain->desk, status);
        if (status || taken == 0) {
            nanosleep(&PAUSE, NULL);
        }
    }
    return NULL;
}

int drain_start(const struct address *redis, const struct address *sql, struct drain **ret_drain,
                struct complaint *complaint) {
    struct drain *drain = calloc(1, sizeof(*drain));
    if (!drain) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory for the worker");
    }
    drain->desk = (struct desk){.redis_address = redis, .sql_address = sql};
    if (pthread_create(&drain->thread, NULL, drain_run, drain)) {
        free(drain);
        return complain(complaint, STATUS_NO_MEMORY, "no thread could be made for the worker");
    }
    *ret_drain = drain;
    return STATUS_OK;
}

void drain_stop(struct drain *drain) {
    if (drain) {
        atomic_store(&drain->stopping, true);
        pthread_join(drain->thread, NULL);
        desk_close(&drain->desk);
        free(drain);
    }
}

int drain_all(const struct address *redis, const struct address *sql, uint64_t *ret_rows,
              struct complaint *complaint) {
    struct desk desk = {.redis_address = redis, .sql_address = sql};
    uint64_t rows = 0;
    size_t taken = 0;
    int status = tables_make(&desk);
    do {
        if (status == STATUS_OK) {
            status = drain_some(&desk, &taken);
            rows += status == STATUS_OK ? taken : 0;
        }
    } while (status == STATUS_OK && taken > 0);
    if (status) {
        *complaint = desk.why;
    }
    desk_close(&desk);
    *ret_rows = rows;
    return status;
}
