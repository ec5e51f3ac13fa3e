#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- folders ---- */

char *folder_new(void) {
    const char *base = getenv("TMPDIR");
    char *folder = NULL;
    assert_true(asprintf(&folder, "%s/coupon-ledger-XXXXXX", base ? base : "/tmp") > 0);
    assert_non_null(mkdtemp(folder));
    return folder;
}

static int names_of(const char *folder, struct dirent ***ret_names) {
    int count = scandir(folder, ret_names, NULL, alphasort);
    assert_true(count >= 0);
    return count;
}

void folder_remove(char *folder) {
    struct dirent **names;
    int count = names_of(folder, &names);
    for (int i = 0; i < count; i++) {
        unlink(path_of(folder, names[i]->d_name));
        free(names[i]);
    }
    free(names);
    rmdir(folder);
    free(folder);
}

const char *path_of(const char *folder, const char *name) {
    static char rooms[4][PATH_MAX];
    static unsigned next;
    char *room = rooms[next++ % 4];
    snprintf(room, PATH_MAX, "%s/%s", folder, name);
    return room;
}

static void file_append_to(struct buffer *buffer, const char *path) {
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t size;
    do {
        assert_int_equal(buffer_reserve(buffer, 65536), STATUS_OK);
        size = read(fd, buffer->bytes + buffer->size, 65536);
        assert_true(size >= 0);
        buffer->size += (size_t)size;
    } while (size > 0);
    close(fd);
}

struct buffer folder_bytes(const char *folder) {
    struct buffer bytes;
    buffer_init(&bytes);
    struct dirent **names;
    int count = names_of(folder, &names);
    for (int i = 0; i < count; i++) {
        if (names[i]->d_name[0] != '.') {
            buffer_text(&bytes, names[i]->d_name);
            buffer_text(&bytes, "\n");
            file_append_to(&bytes, path_of(folder, names[i]->d_name));
        }
        free(names[i]);
    }
    free(names);
    return bytes;
}

void assert_folder_is(const char *folder, struct buffer *bytes) {
    struct buffer now = folder_bytes(folder);
    bool same = slice_equal(buffer_view(&now), buffer_view(bytes));
    buffer_done(&now);
    buffer_done(bytes);
    assert_true(same);
}

void file_write(const char *path, const void *bytes, size_t size) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

void folder_copy(const char *from, const char *to) {
    static const char *const names[] = {"coupon.db", "coupon.db-wal"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        unlink(path_of(to, names[i]));
        if (access(path_of(from, names[i]), F_OK) == 0) {
            struct buffer bytes;
            buffer_init(&bytes);
            file_append_to(&bytes, path_of(from, names[i]));
            file_write(path_of(to, names[i]), bytes.bytes, bytes.size);
            buffer_done(&bytes);
        }
    }
}

void sql_run(const char *folder, const char *text) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path_of(folder, "coupon.db"), &db), SQLITE_OK);
    char *why = NULL;
    if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK) {
        fail_msg("%s: %s", text, why);
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* ---- ledgers ---- */

static struct ledger *open_with(const struct ledger_sqlite_options *options) {
    struct ledger *ledger = NULL;
    int status = ledger_sqlite_open(options, &ledger, &complaint);
    if (status != STATUS_OK) {
        fail_msg("open: %s: %s", status_name(status), complaint.text);
    }
    return ledger;
}

struct ledger *open_ledger(const char *folder, const char *vfs) {
    return open_with(&(struct ledger_sqlite_options){.directory = folder, .vfs = vfs});
}

struct ledger *open_existing(const char *folder) {
    return open_with(&(struct ledger_sqlite_options){.directory = folder, .existing_only = true});
}

int open_status(const char *folder, bool existing_only) {
    struct ledger_sqlite_options options = {.directory = folder, .existing_only = existing_only};
    struct ledger *ledger = NULL;
    complaint.text[0] = '\0';
    int status = ledger_sqlite_open(&options, &ledger, &complaint);
    assert_null(ledger);
    assert_int_not_equal(status, STATUS_OK);
    assert_true(complaint.text[0] != '\0');
    return status;
}

bool exists(const char *folder, const char *name) {
    return access(path_of(folder, name), F_OK) == 0;
}

/* A closed ledger with a coupon of `issues` issues. */
void make_ledger(const char *folder, uint32_t issues) {
    struct ledger *ledger = open_ledger(folder, NULL);
    uint64_t id = add_coupon(ledger, COUPON_UNLIMITED);
    assert_int_equal(append_ranks(ledger, id, 1, issues), STATUS_OK);
    close_ledger(ledger);
}

/* The same, but its last `tail` issues are in a WAL that nobody folded. */
void make_ledger_with_wal(const char *folder, uint32_t issues, uint32_t tail) {
    char *room = folder_new();
    struct ledger *ledger = open_ledger(room, NULL);
    uint64_t id = add_coupon(ledger, COUPON_UNLIMITED);
    assert_int_equal(append_ranks(ledger, id, 1, issues), STATUS_OK);
    close_ledger(ledger);
    ledger = open_ledger(room, NULL);
    assert_int_equal(append_ranks(ledger, id, issues + 1, tail), STATUS_OK);
    folder_copy(room, folder); /* what a kill at this moment would leave */
    close_ledger(ledger);
    folder_remove(room);
    assert_true(exists(folder, "coupon.db-wal"));
}
