/* model: what the ledger must hold if everything that was told is true, kept by whoever asks and
 * hears the answers; and what the answer must be to each claim and change. Small and plain, so
 * that it can be believed: arrays, looked through from end to end.
 *
 * Model and ledger are compared as texts, a line a row (model_text, ledger_text), so that a
 * difference can be shown. Not for: faults, threads, files. */
#ifndef COUPON_TESTS_CRASH_IO_MODEL_H
#define COUPON_TESTS_CRASH_IO_MODEL_H

#include "issuer/issuer.h"

#define MODEL_COUPONS   16
#define MODEL_ISSUES    128 /* of a coupon */
#define MODEL_REVISIONS 16  /* of a coupon */
#define MODEL_IMPORTS   4   /* of a coupon */
#define MODEL_AUDITS    64
#define MODEL_NAME_SIZE 32

struct model_issue {
    char user[MODEL_NAME_SIZE];
    char key[MODEL_NAME_SIZE]; /* "": none */
    int64_t at_us;
};

struct model_coupon {
    struct coupon_record record;
    struct coupon_revision revisions[MODEL_REVISIONS];
    size_t revision_count;
    struct coupon_import imports[MODEL_IMPORTS];
    size_t import_count;
    struct model_issue issues[MODEL_ISSUES]; /* by rank - 1; record.issued_quantity of them */
};

struct model_audit {
    char admin[MODEL_NAME_SIZE];
    const char *action;
    int64_t changed_us;
    uint64_t coupon_id;
    uint32_t version;
    char request[64];
};

struct model {
    struct model_coupon coupons[MODEL_COUPONS]; /* by id, rising */
    size_t coupon_count;
    struct model_audit audits[MODEL_AUDITS];
    size_t audit_count;
};

struct model_coupon *model_coupon(struct model *model, uint64_t coupon_id); /* NULL: none */
/* The rank the user holds, archived coupons' too; 0: none. */
uint32_t model_rank(struct model *model, uint64_t coupon_id, const char *user);

/* ---- what is asked; each changes the model as it must change if the answer is yes ---- */

struct model_answer {
    enum verdict verdict;
    uint32_t rank;
    int64_t at_us; /* with a rank */
};
struct model_answer model_claim(struct model *model, int64_t now_us, uint64_t coupon_id,
                                const char *user, const char *key);

/* `admin` "": no audit. The record's version and counts are set here. STATUS_EXISTS. */
int model_create(struct model *model, int64_t now_us, const struct coupon_record *record,
                 const char *admin, const char *request);
/* As issuer.h's JOB_COUPON_CHANGE; if_version 0: no condition. */
int model_change(struct model *model, int64_t now_us, uint64_t coupon_id, unsigned patch_set,
                 const struct coupon_record *values, uint32_t if_version, const char *admin,
                 const char *request);
/* The next ranks go to these users. Returns the import. */
struct coupon_import model_import(struct model *model, int64_t now_us, uint64_t coupon_id,
                                  const char *const *users, size_t count);

/* ---- texts ---- */

/* Appended; ends with a zero byte. */
void model_text(const struct model *model, struct buffer *text);
/* The same of a ledger. The status of its reads. */
int MUST_CHECK ledger_text(struct ledger *ledger, struct buffer *text, struct complaint *complaint);
/* The first line that differs, of both, in a static room; for messages. */
const char *text_difference(const char *expected, const char *found);

#endif
