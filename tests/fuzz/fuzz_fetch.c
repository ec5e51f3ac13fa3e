/* What `coupon export --url` makes of a server's answers. A line of the input is an answer: its
 * status, a space, its body; the first line chooses one coupon ("one") or all. libcurl is not
 * part of it: fetch_get() is given here.
 *
 * What is exported is read again: coupons by rising ids, each with ranks 1, 2, 3 … and users that
 * can be; after a failure there is no file, and the complaint says why. */
#include "cli/export.h"
#include "cli/fetch.h"
#include "fuzz.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN "a-token-of-twenty-1."

/* ---- fetch, as far as the export sees it ---- */

struct fetch {
    struct slice answers; /* still to be given */
    char *body;           /* of the last */
};

static struct fetch fetch;

int __wrap_fetch_new(const char *url, const char *ca_file, struct slice token,
                     struct fetch **ret_fetch, struct complaint *complaint);
int __wrap_fetch_get(struct fetch *self, const char *target, struct fetch_answer *ret_answer,
                     struct complaint *complaint);
void __wrap_fetch_free(struct fetch *self);

int __wrap_fetch_new(const char *url, const char *ca_file, struct slice token,
                     struct fetch **ret_fetch, struct complaint *complaint) {
    (void)ca_file;
    (void)complaint;
    assert(url != NULL && slice_is(token, TOKEN));
    *ret_fetch = &fetch;
    return STATUS_OK;
}

int __wrap_fetch_get(struct fetch *self, const char *target, struct fetch_answer *ret_answer,
                     struct complaint *complaint) {
    uint64_t status = 0;
    assert(target[0] == '/' && strpbrk(target, " \r\n") == NULL);
    if (self->answers.size == 0) {
        return complain(complaint, STATUS_IO, "the server has gone");
    }
    struct slice line = fuzz_line(&self->answers);
    if (slice_to_u64(fuzz_word(&line), 599, &status)) {
        return complain(complaint, STATUS_IO, "no answer");
    }
    free(self->body);
    self->body = fuzz_exact(line);
    *ret_answer = (struct fetch_answer){.status = (int)status,
                                        .body = {line.size ? self->body : NULL, line.size}};
    return STATUS_OK;
}

void __wrap_fetch_free(struct fetch *self) {
    if (self) {
        free(self->body);
        self->body = NULL;
    }
}

/* ---- what was exported ---- */

static const char *path_of(const char *name) {
    static char paths[2][256];
    char *path = paths[name[0] == 't'];
    snprintf(path, sizeof(paths[0]), "%s/%s", fuzz_folder(), name);
    return path;
}

static void check_line(const json_t *row, json_int_t *id, json_int_t *rank) {
    const json_t *user = json_object_get(row, "userId");
    json_int_t row_id = json_integer_value(json_object_get(row, "couponId"));
    json_int_t row_rank = json_integer_value(json_object_get(row, "rank"));
    int64_t time_us;
    assert(row_id == *id ? row_rank == *rank + 1 : row_id > *id && row_rank == 1);
    assert(row_id <= JSON_INTEGER_MAX && row_rank <= UINT32_MAX);
    assert(user_id_is_valid((struct slice){json_string_value(user), json_string_length(user)}));
    int status =
        time_parse(slice_of(json_string_value(json_object_get(row, "issuedAt"))), &time_us);
    assert(status == STATUS_OK);
    *id = row_id;
    *rank = row_rank;
}

static uint64_t check_ndjson(FILE *file) {
    char line[1024];
    json_int_t id = 0;
    json_int_t rank = 0;
    uint64_t count = 0;
    while (fgets(line, sizeof(line), file)) {
        json_t *row = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert(json_object_size(row) == 4);
        check_line(row, &id, &rank);
        json_decref(row);
        count++;
    }
    return count;
}

static uint64_t check_csv(FILE *file) {
    char line[1024];
    uint64_t lines = 0;
    while (fgets(line, sizeof(line), file)) {
        size_t size = strlen(line);
        assert(size > 2 && strcmp(line + size - 2, "\r\n") == 0);
        lines++;
    }
    assert(lines >= 1); /* the names of its columns */
    return lines - 1;
}

static void run(struct slice input, uint64_t coupon_id, bool ndjson) {
    struct export_server server = {.url = "http://a", .token_file = path_of("token")};
    struct complaint complaint = {{0}};
    struct export_rows rows = {
        .path = path_of("export"), .ndjson = ndjson, .complaint = &complaint};
    fetch.answers = input;
    unlink(rows.path);
    int status = export_from_url(&server, coupon_id, &rows);
    uint64_t count = rows.count;
    status = export_rows_end(&rows, status);
    FILE *file = fopen(path_of("export"), "r");
    assert((status == STATUS_OK) == (complaint.text[0] == '\0'));
    assert(status != STATUS_OK || file != NULL);
    assert(status == STATUS_OK || file == NULL);
    if (file) {
        uint64_t lines = ndjson ? check_ndjson(file) : check_csv(file);
        assert(lines == count);
        fclose(file);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    umask(077);
    FILE *file = fopen(path_of("token"), "w");
    assert(file != NULL);
    fputs(TOKEN "\n", file);
    fclose(file);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice input = {(const char *)data, size};
    struct slice kind = fuzz_line(&input);
    bool one = kind.size >= 3 && memcmp(kind.bytes, "one", 3) == 0;
    run(input, one ? 7 : 0, true);
    run(input, one ? 7 : 0, false);
    unlink(path_of("export"));
    return 0;
}

/* ---- answers that are worth having ---- */

#define ISSUE(id, rank, user)                                                                      \
    "{\"issueId\":\"" id "-" rank "\",\"couponId\":" id ",\"userId\":\"" user "\",\"rank\":" rank  \
    ",\"issuedAt\":\"2026-01-02T03:04:05.000006Z\"}"

static const char *const samples[] = {
    "one",
    "all",
    "200 {\"id\":7,\"issuedQuantity\":2}",
    "200 {\"id\":7,\"issuedQuantity\":0}",
    "200 {\"coupons\":[{\"id\":7,\"issuedQuantity\":2}],\"next\":\"a.b-c\"}",
    "200 {\"coupons\":[{\"id\":7,\"issuedQuantity\":1},{\"id\":8,\"issuedQuantity\":1}]}",
    "200 {\"coupons\":[]}",
    "200 {\"coupons\":[{\"id\":7,\"issuedQuantity\":1},{\"id\":7,\"issuedQuantity\":1}]}",
    "200 {\"issues\":[" ISSUE("7", "1", "u1") "]}",
    "200 {\"coupons\":[{\"id\":9007199254740991,\"issuedQuantity\":4294967295}]}",
    "200 {\"issues\":[" ISSUE("7", "1", "u1") "," ISSUE("7", "2", "u,\\\"2") "]}",
    "200 {\"issues\":[" ISSUE("7", "1", "u1") "],\"next\":1}",
    "200 {\"issues\":[" ISSUE("8", "1", "u1") "]}",
    "404 {\"code\":\"coupon-not-found\"}",
    "401 {\"code\":\"unauthorized\"}",
    "403 {}",
    "503 {\"code\":\"starting\"}",
    "500 no JSON",
    "301 ",
    "no",
};

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    return fuzz_mutate_lines(data, size, max_size, seed, samples, COUNT_OF(samples));
}
