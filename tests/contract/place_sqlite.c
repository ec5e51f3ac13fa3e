/* A folder for each test. */
#include "place.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PREFIX "sqlite:"

static char *sqlite_make(const char *base, unsigned number) {
    char *url = NULL;
    (void)number;
    assert_true(asprintf(&url, "%s/coupon-contract-XXXXXX", base) > 0);
    assert_non_null(mkdtemp(url + strlen(PREFIX)));
    return url;
}

static void sqlite_unmake(const char *base, const char *url) {
    static const char *const names[] = {"coupon.db", "coupon.db-wal", "coupon.lock", "coupon.hold"};
    (void)base;
    const char *folder = url + strlen(PREFIX);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char *path = NULL;
        assert_true(asprintf(&path, "%s/%s", folder, names[i]) > 0);
        unlink(path);
        free(path);
    }
    assert_int_equal(rmdir(folder), 0);
}

const struct place_kind place_sqlite = {
    .scheme = "sqlite", .make = sqlite_make, .unmake = sqlite_unmake};
