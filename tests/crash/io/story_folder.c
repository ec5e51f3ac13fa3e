/* What else befalls the data folder of a story: an import, a backup, a move as after a kill. See
 * story.h. */
#include "story_internal.h"

#include "judge.h"
#include "shim_memory.h"
#include "station.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int import_once(struct story *story, const struct coupon_import *import,
                       const struct slice *users, struct complaint *complaint) {
    struct ledger_sqlite_options options = {
        .directory = story->folder, .vfs = story->vfs, .no_new = true};
    struct ledger *ledger = NULL;
    int status = ledger_sqlite_open(&options, &ledger, complaint);
    if (status) {
        return status;
    }
    status = ledger_import(ledger, import, users, complaint);
    struct complaint closing = {0};
    int closed = ledger_close(ledger, &closing);
    if (closed) { /* what was committed is safe all the same */
        story_judge_failure(story, "closing after an import", closed, &closing);
    }
    return status;
}

void story_import(struct story *story, uint64_t coupon_id, const char *const *users, size_t count) {
    struct slice slices[8];
    struct complaint complaint = {0};
    assert(!station_is_running() && count <= COUNT_OF(slices));
    if (story->over || !model_coupon(story->told, coupon_id)) {
        return;
    }
    story_ask_begins(story);
    for (size_t i = 0; i < count; i++) {
        slices[i] = slice_of(users[i]);
    }
    struct coupon_import import = model_import(story->next, story->now_us, coupon_id, users, count);
    story_pend(story);
    shim_memory_own(false);
    int status = import_once(story, &import, slices, &complaint);
    shim_memory_own(true);
    if (status == STATUS_OK) {
        story_believe(story);
    } else {
        story_judge_failure(story, "import", status, &complaint);
        if (status == STATUS_AMBIGUOUS) {
            story_find_out(story);
        } else {
            story_disbelieve(story);
        }
    }
    story_check(story);
}

static void tell_backup(const struct story *story, const char *name, bool done) {
    if (story->listener && story->listener->backup) {
        story->listener->backup(name, done);
    }
}

/* The copy is what was told, whole and clean. */
static void judge_backup(struct story *story, const char *path) {
    struct buffer text = {0};
    struct buffer expected = {0};
    struct complaint complaint = {0};
    int64_t operations = story_faults_pause(story);
    int status = judge_read(path, true, &text, &complaint);
    if (status || !story_record_is(&text, story->told, &expected)) {
        story_violation(story, "the backup is not the record: %s",
                        status ? complaint.text : text_difference(expected.bytes, text.bytes));
    }
    buffer_done(&expected);
    buffer_done(&text);
    story_faults_resume(story, operations);
}

/* A failed backup leaves none behind; what it could not remove, the next one does. */
static void judge_no_backup(struct story *story, const char *path) {
    char file[PATH_MAX + 16];
    snprintf(file, sizeof(file), "%s/coupon.db", path);
    int64_t operations = story_faults_pause(story);
    bool there = access(file, F_OK) == 0;
    bool undeletable = atomic_load(&story->fault->hits_of[FAULT_DELETE]) > 0;
    if (there && !undeletable) {
        story_violation(story, "a backup that failed is there");
    }
    if (there) {
        unlink(file);
    }
    story_faults_resume(story, operations);
}

void story_backup(struct story *story, const char *name) {
    char path[PATH_MAX];
    story_path(story, name, path);
    for (int attempt = 0; !story->over; attempt++) {
        struct complaint complaint = {0};
        story->asks++;
        tell_backup(story, name, false);
        shim_memory_own(false);
        int status = ledger_sqlite_backup(story->folder, path, NULL, NULL, &complaint);
        shim_memory_own(true);
        if (status == STATUS_OK) {
            tell_backup(story, name, true);
            judge_backup(story, path);
            return;
        }
        if (status == STATUS_NOT_FOUND && story->told->coupon_count == 0) {
            return; /* no start went well yet */
        }
        story_judge_failure(story, "backup", status, &complaint);
        judge_no_backup(story, path);
        if (story_is_broken_for_ever(story)) {
            return;
        }
        if (attempt == STARTS_MAX) {
            story_violation(story, "no backup though nothing fails any more: %s", complaint.text);
        }
    }
}

static void file_copy(struct story *story, const char *from, const char *to) {
    char bytes[16384];
    ssize_t size;
    int source = open(from, O_RDONLY | O_CLOEXEC);
    if (source < 0 && errno == ENOENT) {
        return;
    }
    int target = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    while ((size = read(source, bytes, sizeof(bytes))) > 0) {
        if (write(target, bytes, (size_t)size) != size) {
            size = -1;
            break;
        }
    }
    if (size < 0 || fsync(target)) {
        story_violation(story, "the test cannot copy %s: %s", from, strerror(errno));
    }
    close(source);
    close(target);
}

static void folder_sync(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fsync(fd);
    assert(result == 0);
    close(fd);
}

void story_move(struct story *story, const char *name) {
    static const char *const files[] = {"coupon.db", "coupon.db-wal", "admin-token"};
    char to[PATH_MAX];
    char paths[2][PATH_MAX + 16];
    if (story->over) {
        return;
    }
    int64_t operations = story_faults_pause(story);
    story_path(story, name, to);
    mkdir(to, 0700);
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        snprintf(paths[0], sizeof(paths[0]), "%s/%s", story->folder, files[i]);
        snprintf(paths[1], sizeof(paths[1]), "%s/%s", to, files[i]);
        file_copy(story, paths[0], paths[1]);
    }
    folder_sync(to);
    folder_sync(story->root);
    story_faults_resume(story, operations);
    story_stop(story); /* of the folder that is left behind */
    memcpy(story->folder, to, sizeof(story->folder));
    if (story->listener && story->listener->folder) {
        story->listener->folder(name);
    }
}
