/* An export's issues from the data folder of a server that is stopped. Reads only. See
 * export.h. */
#include "cli/export.h"
#include "cli/interrupt.h"

struct reading {
    struct export_rows *rows;
    uint64_t coupon_id; /* 0: all */
};

static int on_issue(void *context, const struct issue_row *issue) {
    struct reading *reading = context;
    if (interrupt_came()) {
        return complain(reading->rows->complaint, STATUS_STOPPED, "ended by a signal");
    }
    if (reading->coupon_id && issue->reference.coupon_id != reading->coupon_id) {
        return STATUS_OK;
    }
    return export_rows_add(reading->rows, issue);
}

static void on_progress(void *context, uint64_t visited, uint64_t total) {
    struct reading *reading = context;
    (void)visited;
    if (!reading->coupon_id) {
        reading->rows->total = total;
    }
}

static int find_coupon(struct ledger *ledger, uint64_t coupon_id, struct export_rows *rows) {
    struct complaint *complaint = rows->complaint;
    struct coupon_record coupon = {.issued_quantity = 0};
    int status = coupon_id ? ledger_coupon_read(ledger, coupon_id, &coupon) : STATUS_OK;
    rows->total = coupon.issued_quantity;
    if (status == STATUS_NOT_FOUND) {
        return complain(complaint, status, "there is no coupon %llu",
                        (unsigned long long)coupon_id);
    }
    return status == STATUS_OK ? status
                               : complain(complaint, status, "coupon %llu cannot be read: %s",
                                          (unsigned long long)coupon_id, status_name(status));
}

int export_from_data(const char *directory, uint64_t coupon_id, struct export_rows *rows) {
    struct ledger *ledger = NULL;
    struct reading reading = {.rows = rows, .coupon_id = coupon_id};
    struct ledger_visitor visitor = {
        .context = &reading, .archived_too = true, .issue = on_issue, .progress = on_progress};
    struct ledger_sqlite_options options = {.directory = directory, .existing_only = true};
    int status = ledger_sqlite_open(&options, &ledger, rows->complaint);
    if (status == STATUS_OK) {
        status = find_coupon(ledger, coupon_id, rows);
    }
    if (status == STATUS_OK) {
        status = export_rows_begin(rows);
    }
    if (status == STATUS_OK) {
        status = ledger_visit(ledger, &visitor, rows->complaint);
    }
    ledger_close(ledger, NULL);
    return status;
}
