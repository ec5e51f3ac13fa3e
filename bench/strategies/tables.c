/* The two tables, as the original had them: there is no key that would keep a user from a second
 * issue. (There is an index for looking whether they have one; without it every claim would read
 * all of the issues, and nothing else would be measured.) Not for: deciding. */
#include "strategy.h"

#include <inttypes.h>
#include <stdio.h>

static const int64_t CACHED_US = US_PER_SECOND;

static const char COUPONS[] = "CREATE TABLE IF NOT EXISTS strategy_coupons ("
                              "id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,"
                              "title VARCHAR(1000) NOT NULL,"
                              "total BIGINT NULL,"
                              "issued BIGINT NOT NULL DEFAULT 0,"
                              "start BIGINT NOT NULL,"
                              "end BIGINT NOT NULL)"
                              " ENGINE InnoDB CHARACTER SET utf8mb4";

static const char ISSUES[] = "CREATE TABLE IF NOT EXISTS strategy_issues ("
                             "id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,"
                             "coupon_id BIGINT UNSIGNED NOT NULL,"
                             "user_id VARCHAR(128) NOT NULL,"
                             "issued_at BIGINT NOT NULL,"
                             "KEY (coupon_id, user_id))"
                             " ENGINE InnoDB CHARACTER SET ascii COLLATE ascii_bin";

int tables_make(struct desk *desk) {
    int status = sql_run(desk, "%s", COUPONS);
    return status ? status : sql_run(desk, "%s", ISSUES);
}

/* ---- coupons ---- */

int coupon_read(struct desk *desk, uint64_t coupon_id, const char *lock,
                struct coupon *ret_coupon) {
    int64_t values[4];
    int status = sql_read(desk, values, COUNT_OF(values),
                          "SELECT total, issued, start, end FROM strategy_coupons"
                          " WHERE id = %" PRIu64 " %s",
                          coupon_id, lock);
    if (status == STATUS_OK) {
        *ret_coupon = (struct coupon){values[0], values[1], values[2], values[3]};
    }
    return status;
}

int coupon_read_cached(struct desk *desk, uint64_t coupon_id, struct coupon *ret_coupon) {
    int64_t now_us = clock_monotonic_us();
    if (desk->cached.id != coupon_id || now_us >= desk->cached.until_us) {
        desk->cached.id = 0;
        int status = coupon_read(desk, coupon_id, "", &desk->cached.coupon);
        if (status) {
            return status;
        }
        desk->cached.id = coupon_id;
        desk->cached.until_us = now_us + CACHED_US;
    }
    *ret_coupon = desk->cached.coupon;
    return STATUS_OK;
}

static int perform_create(struct desk *desk, struct coupon_record *coupon) {
    char title[SQL_TEXT_ROOM(COUPON_TITLE_MAX)];
    char total[24] = "NULL";
    if (coupon->total_quantity != COUPON_UNLIMITED) {
        snprintf(total, sizeof(total), "%" PRId64, coupon->total_quantity);
    }
    int status = sql_run(desk,
                         "INSERT INTO strategy_coupons (id, title, total, start, end)"
                         " VALUES (%" PRIu64 ", '%s', %s, %" PRId64 ", %" PRId64 ")",
                         coupon->id, sql_text(desk, slice_of(coupon->title), title), total,
                         coupon->issue_start_us, coupon->issue_end_us);
    if (status == STATUS_OK) {
        coupon->id = coupon->id ? coupon->id : mysql_insert_id(desk->sql);
        coupon->version = 1;
        coupon->created_us = coupon->updated_us = clock_realtime(NULL);
    }
    return status;
}

/* What this table knows of it, which is less than the API can tell. */
static int perform_read(struct desk *desk, struct coupon_record *coupon) {
    struct coupon found;
    int status = coupon_read(desk, coupon->id, "", &found);
    if (status == STATUS_OK) {
        *coupon = (struct coupon_record){
            .id = coupon->id,
            .title = "a coupon",
            .total_quantity = found.total,
            .issued_quantity = (uint32_t)found.issued,
            .issue_start_us = found.start_us,
            .issue_end_us = found.end_us,
            .version = 1,
        };
    }
    return status;
}

int tables_command(struct desk *desk, struct command *command) {
    if (command->job.kind == JOB_COUPON_CREATE) {
        return perform_create(desk, &command->coupon);
    }
    return command->job.kind == JOB_COUPON_READ ? perform_read(desk, &command->coupon)
                                                : STATUS_NOT_FOUND;
}

/* ---- issues ---- */

int issue_exists(struct desk *desk, const struct claim *claim, bool *ret_exists) {
    char user[SQL_TEXT_ROOM(USER_ID_MAX)];
    int64_t id;
    int status = sql_read(desk, &id, 1,
                          "SELECT id FROM strategy_issues WHERE coupon_id = %" PRIu64
                          " AND user_id = '%s' LIMIT 1",
                          claim->coupon_id, sql_text(desk, claim->user_id, user));
    if (status == STATUS_OK || status == STATUS_NOT_FOUND) {
        *ret_exists = status == STATUS_OK;
        return STATUS_OK;
    }
    return status;
}

int issue_insert(struct desk *desk, const struct claim *claim) {
    char user[SQL_TEXT_ROOM(USER_ID_MAX)];
    return sql_run(desk,
                   "INSERT INTO strategy_issues (coupon_id, user_id, issued_at)"
                   " VALUES (%" PRIu64 ", '%s', %" PRId64 ")",
                   claim->coupon_id, sql_text(desk, claim->user_id, user), claim->issued_at_us);
}
