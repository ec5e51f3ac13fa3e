/* See model.h. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>

struct model_coupon *model_coupon(struct model *model, uint64_t coupon_id) {
    for (size_t i = 0; i < model->coupon_count; i++) {
        if (model->coupons[i].record.id == coupon_id) {
            return &model->coupons[i];
        }
    }
    return NULL;
}

uint32_t model_rank(struct model *model, uint64_t coupon_id, const char *user) {
    const struct model_coupon *coupon = model_coupon(model, coupon_id);
    for (uint32_t rank = 1; coupon && rank <= coupon->record.issued_quantity; rank++) {
        if (strcmp(coupon->issues[rank - 1].user, user) == 0) {
            return rank;
        }
    }
    return 0;
}

static void copy_name(char room[static MODEL_NAME_SIZE], const char *name) {
    int size = snprintf(room, MODEL_NAME_SIZE, "%s", name);
    assert(size >= 0 && size < MODEL_NAME_SIZE);
}

/* ---- claims ---- */

static uint32_t issue_next(struct model_coupon *coupon, int64_t at_us, const char *user,
                           const char *key) {
    assert(coupon->record.issued_quantity < MODEL_ISSUES);
    struct model_issue *issue = &coupon->issues[coupon->record.issued_quantity++];
    copy_name(issue->user, user);
    copy_name(issue->key, key);
    issue->at_us = at_us;
    return coupon->record.issued_quantity;
}

/* The order of I7. */
struct model_answer model_claim(struct model *model, int64_t now_us, uint64_t coupon_id,
                                const char *user, const char *key) {
    struct model_coupon *coupon = model_coupon(model, coupon_id);
    if (!coupon || coupon->record.archived_us) {
        return (struct model_answer){.verdict = VERDICT_NO_SUCH_COUPON};
    }
    const struct coupon_record *record = &coupon->record;
    uint32_t held = model_rank(model, coupon_id, user);
    if (held) {
        const struct model_issue *issue = &coupon->issues[held - 1];
        bool same = key[0] != '\0' && strcmp(issue->key, key) == 0;
        return (struct model_answer){same ? VERDICT_REPLAYED : VERDICT_ALREADY_ISSUED, held,
                                     issue->at_us};
    }
    bool sold_out = record->total_quantity != COUPON_UNLIMITED &&
                    record->issued_quantity >= record->total_quantity;
    enum verdict verdict = record->paused                    ? VERDICT_PAUSED
                           : now_us < record->issue_start_us ? VERDICT_NOT_STARTED
                           : now_us >= record->issue_end_us  ? VERDICT_ENDED
                           : sold_out                        ? VERDICT_SOLD_OUT
                                                             : VERDICT_ISSUED;
    if (verdict != VERDICT_ISSUED) {
        return (struct model_answer){.verdict = verdict};
    }
    return (struct model_answer){verdict, issue_next(coupon, now_us, user, key), now_us};
}

/* ---- changes ---- */

static void add_audit(struct model *model, int64_t now_us, const struct coupon_record *record,
                      const char *action, const char *admin, const char *request) {
    if (admin[0] == '\0') {
        return;
    }
    assert(model->audit_count < MODEL_AUDITS);
    struct model_audit *audit = &model->audits[model->audit_count++];
    *audit = (struct model_audit){.action = action,
                                  .changed_us = now_us,
                                  .coupon_id = record->id,
                                  .version = record->version};
    copy_name(audit->admin, admin);
    snprintf(audit->request, sizeof(audit->request), "%s", request);
}

static void add_revision(struct model_coupon *coupon) {
    const struct coupon_record *record = &coupon->record;
    assert(coupon->revision_count < MODEL_REVISIONS);
    coupon->revisions[coupon->revision_count++] =
        (struct coupon_revision){.coupon_id = record->id,
                                 .version = record->version,
                                 .changed_us = record->updated_us,
                                 .total_quantity = record->total_quantity,
                                 .issue_start_us = record->issue_start_us,
                                 .issue_end_us = record->issue_end_us,
                                 .paused = record->paused,
                                 .archived = record->archived_us != 0,
                                 .first_rank = record->issued_quantity + 1};
}

int model_create(struct model *model, int64_t now_us, const struct coupon_record *record,
                 const char *admin, const char *request) {
    if (model_coupon(model, record->id)) {
        return STATUS_EXISTS;
    }
    assert(model->coupon_count < MODEL_COUPONS);
    size_t at = model->coupon_count++;
    for (; at > 0 && model->coupons[at - 1].record.id > record->id; at--) {
        model->coupons[at] = model->coupons[at - 1];
    }
    struct model_coupon *coupon = &model->coupons[at];
    *coupon = (struct model_coupon){.record = *record};
    coupon->record.version = 1;
    coupon->record.issued_quantity = 0;
    coupon->record.created_us = coupon->record.updated_us = now_us;
    add_revision(coupon);
    add_audit(model, now_us, &coupon->record, "coupon-created", admin, request);
    return STATUS_OK;
}

static void apply(struct coupon_record *record, unsigned patch_set,
                  const struct coupon_record *values) {
    if (patch_set & PATCH_TITLE) {
        memcpy(record->title, values->title, sizeof(record->title));
    }
    if (patch_set & PATCH_TOTAL_QUANTITY) {
        record->total_quantity = values->total_quantity;
    }
    if (patch_set & PATCH_ISSUE_END) {
        record->issue_end_us = values->issue_end_us;
    }
    if (patch_set & PATCH_PAUSED) {
        record->paused = values->paused;
    }
}

int model_change(struct model *model, int64_t now_us, uint64_t coupon_id, unsigned patch_set,
                 const struct coupon_record *values, uint32_t if_version, const char *admin,
                 const char *request) {
    struct model_coupon *coupon = model_coupon(model, coupon_id);
    if (!coupon) {
        return STATUS_NOT_FOUND;
    }
    struct coupon_record changed = coupon->record;
    if (if_version && if_version != changed.version) {
        return STATUS_CONFLICT;
    }
    if (changed.archived_us) {
        return STATUS_INVALID;
    }
    apply(&changed, patch_set, values);
    if (changed.total_quantity != COUPON_UNLIMITED &&
        changed.total_quantity < (int64_t)changed.issued_quantity) {
        return STATUS_INVALID;
    }
    changed.version++;
    changed.updated_us = now_us;
    changed.archived_us = patch_set & PATCH_ARCHIVED ? now_us : 0;
    coupon->record = changed;
    add_revision(coupon);
    add_audit(model, now_us, &changed, changed.archived_us ? "coupon-archived" : "coupon-changed",
              admin, request);
    return STATUS_OK;
}

struct coupon_import model_import(struct model *model, int64_t now_us, uint64_t coupon_id,
                                  const char *const *users, size_t count) {
    struct model_coupon *coupon = model_coupon(model, coupon_id);
    assert(coupon && count > 0 && coupon->import_count < MODEL_IMPORTS);
    struct coupon_import import = {.coupon_id = coupon_id,
                                   .first_rank = coupon->record.issued_quantity + 1,
                                   .imported_us = now_us};
    for (size_t i = 0; i < count; i++) {
        import.last_rank = issue_next(coupon, now_us, users[i], "");
    }
    coupon->imports[coupon->import_count++] = import;
    char request[64];
    snprintf(request, sizeof(request), "{\"firstRank\":%u,\"lastRank\":%u}", import.first_rank,
             import.last_rank);
    add_audit(model, now_us, &coupon->record, "issues-imported", "import", request);
    return import;
}

/* ---- texts ---- */

static void text_coupon(struct buffer *text, const struct coupon_record *coupon) {
    buffer_format(text,
                  "coupon %llu \"%s\" total %lld issued %u amounts %lld %lld period %lld %lld",
                  (unsigned long long)coupon->id, coupon->title, (long long)coupon->total_quantity,
                  coupon->issued_quantity, (long long)coupon->discount_amount,
                  (long long)coupon->min_available_amount, (long long)coupon->issue_start_us,
                  (long long)coupon->issue_end_us);
    buffer_format(text, " paused %d version %u created %lld updated %lld archived %lld %s\n",
                  coupon->paused, coupon->version, (long long)coupon->created_us,
                  (long long)coupon->updated_us, (long long)coupon->archived_us, coupon->metadata);
}

static void text_revision(struct buffer *text, const struct coupon_revision *revision) {
    buffer_format(text,
                  "revision %llu.%u at %lld total %lld period %lld %lld paused %d archived "
                  "%d from %u\n",
                  (unsigned long long)revision->coupon_id, revision->version,
                  (long long)revision->changed_us, (long long)revision->total_quantity,
                  (long long)revision->issue_start_us, (long long)revision->issue_end_us,
                  revision->paused, revision->archived, revision->first_rank);
}

static void text_import(struct buffer *text, const struct coupon_import *import) {
    buffer_format(text, "import %llu ranks %u to %u at %lld\n",
                  (unsigned long long)import->coupon_id, import->first_rank, import->last_rank,
                  (long long)import->imported_us);
}

static void text_issue(struct buffer *text, struct issue_reference reference, struct slice user,
                       struct slice key, int64_t at_us) {
    buffer_format(text, "issue %llu-%u to %.*s key \"%.*s\" at %lld\n",
                  (unsigned long long)reference.coupon_id, reference.rank, (int)user.size,
                  user.bytes, (int)key.size, key.size ? key.bytes : "", (long long)at_us);
}

static void text_audit(struct buffer *text, size_t id, const char *admin, const char *action,
                       int64_t changed_us, uint64_t coupon_id, uint32_t version,
                       const char *request) {
    buffer_format(text, "audit %zu %s %s at %lld of %llu.%u %s\n", id, admin, action,
                  (long long)changed_us, (unsigned long long)coupon_id, version, request);
}

static void text_model_coupon(struct buffer *text, const struct model_coupon *coupon) {
    text_coupon(text, &coupon->record);
    for (size_t i = 0; i < coupon->revision_count; i++) {
        text_revision(text, &coupon->revisions[i]);
    }
    for (size_t i = 0; i < coupon->import_count; i++) {
        text_import(text, &coupon->imports[i]);
    }
    for (uint32_t i = 0; i < coupon->record.issued_quantity; i++) {
        const struct model_issue *issue = &coupon->issues[i];
        struct issue_reference reference = {coupon->record.id, i + 1};
        text_issue(text, reference, slice_of(issue->user), slice_of(issue->key), issue->at_us);
    }
}

void model_text(const struct model *model, struct buffer *text) {
    for (size_t i = 0; i < model->coupon_count; i++) {
        text_model_coupon(text, &model->coupons[i]);
    }
    for (size_t i = 0; i < model->audit_count; i++) {
        const struct model_audit *audit = &model->audits[i];
        text_audit(text, i + 1, audit->admin, audit->action, audit->changed_us, audit->coupon_id,
                   audit->version, audit->request);
    }
    buffer_append(text, "", 1);
    assert(!text->failed);
}

static int on_coupon(void *context, const struct coupon_record *coupon) {
    text_coupon(context, coupon);
    return STATUS_OK;
}

static int on_revision(void *context, const struct coupon_revision *revision) {
    text_revision(context, revision);
    return STATUS_OK;
}

static int on_import(void *context, const struct coupon_import *import) {
    text_import(context, import);
    return STATUS_OK;
}

static int on_issue(void *context, const struct issue_row *issue) {
    text_issue(context, issue->reference, issue->user_id, issue->request_key, issue->issued_at_us);
    return STATUS_OK;
}

static int text_audits(struct ledger *ledger, struct buffer *text) {
    static struct audit_record audits[MODEL_AUDITS + 1];
    size_t count = 0;
    int status = ledger_audits_read(ledger, 0, COUNT_OF(audits), audits, &count);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        text_audit(text, audits[i].id, audits[i].admin, audits[i].action, audits[i].changed_us,
                   audits[i].coupon_id, audits[i].version, audits[i].request);
    }
    return status;
}

int ledger_text(struct ledger *ledger, struct buffer *text, struct complaint *complaint) {
    struct ledger_visitor visitor = {.context = text,
                                     .archived_too = true,
                                     .coupon = on_coupon,
                                     .revision = on_revision,
                                     .import = on_import,
                                     .issue = on_issue};
    int status = ledger_visit(ledger, &visitor, complaint);
    if (status == STATUS_OK) {
        status = text_audits(ledger, text);
    }
    buffer_append(text, "", 1);
    assert(!text->failed);
    return status;
}

const char *text_difference(const char *expected, const char *found) {
    static char room[1024];
    size_t line = 0;
    for (size_t i = 0; expected[i] == found[i] && expected[i] != '\0'; i++) {
        line = expected[i] == '\n' ? i + 1 : line;
    }
    snprintf(room, sizeof(room), "expected \"%.*s\", found \"%.*s\"",
             (int)strcspn(expected + line, "\n"), expected + line, (int)strcspn(found + line, "\n"),
             found + line);
    return room;
}
