/* See story.h. Here: what is believed, and the server's life. What is asked of it is in
 * story_asks.c, what other programs do in story_folder.c, the order of a run in script.c. */
#include "story_internal.h"

#include "judge.h"
#include "shim_memory.h"
#include "station.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BEGIN_US INT64_C(1760000000000000)
#define STEP_US  INT64_C(1000)

static const char *const fault_names[FAULT_OPERATIONS] = {
    [FAULT_OPEN] = "open",         [FAULT_READ] = "read", [FAULT_WRITE] = "write",
    [FAULT_TRUNCATE] = "truncate", [FAULT_SYNC] = "sync", [FAULT_DELETE] = "delete",
    [FAULT_ACCESS] = "access",     [FAULT_SIZE] = "size", [FAULT_LOCK] = "lock",
    [FAULT_CLOSE] = "close",       [FAULT_NAME] = "name", [FAULT_ALLOCATE] = "allocate"};

void story_violation(const struct story *story, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "violation after %llu asks", (unsigned long long)story->asks);
    for (int i = 0; i < FAULT_OPERATIONS; i++) {
        int64_t hits = atomic_load(&story->fault->hits_of[i]);
        if (hits > 0) {
            fprintf(stderr, ", %lld of %s failed", (long long)hits, fault_names[i]);
        }
    }
    fprintf(stderr, ": ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    _exit(1);
}

/* ---- faults ---- */

bool story_was_struck(const struct story *story) {
    return atomic_load(&story->fault->hits) > 0 && story->fault->error != FAULT_PARTIAL;
}

/* A look of our own meets no faults and is not counted. */
int64_t story_faults_pause(struct story *story) {
    int64_t operations = story->fault->operations;
    story->fault->operations = 0;
    shim_memory_own(true);
    return operations;
}

void story_faults_resume(struct story *story, int64_t operations) {
    story->fault->operations = operations;
}

static void mend(struct story *story) {
    story->fault->first = 0;
    story->is_mended = true;
}

/* Whether the disk fails still, as far as it will. */
bool story_is_broken_for_ever(const struct story *story) {
    return story_was_struck(story) && !story->is_mended && story->fault->last == INT64_MAX;
}

/* A failure must have a cause, be of a kind that blames the storage, and say something. */
void story_judge_failure(struct story *story, const char *what, int status,
                         const struct complaint *complaint) {
    bool blames = status == STATUS_IO || status == STATUS_FULL || status == STATUS_NO_MEMORY ||
                  status == STATUS_AMBIGUOUS ||
                  (status == STATUS_BUSY && story->fault->error == FAULT_BUSY);
    if (!story_was_struck(story) || !blames || (complaint && complaint->text[0] == '\0')) {
        story_violation(story, "%s: %s: %s", what, status_name(status),
                        complaint ? complaint->text : "");
    }
}

void story_path(const struct story *story, const char *name, char path[static PATH_MAX]) {
    int size = snprintf(path, PATH_MAX, "%s/%s", story->root, name);
    assert(size > 0 && size < PATH_MAX);
}

/* ---- what is believed ---- */

void story_pend(struct story *story) {
    if (story->listener && story->listener->pending) {
        struct buffer text = {0};
        model_text(story->next, &text);
        story->listener->pending(&text);
        buffer_done(&text);
    }
}

void story_ask_begins(struct story *story) {
    story->asks++;
    story->now_us += STEP_US;
    station_set_clock(story->now_us);
    *story->next = *story->told;
}

void story_believe(struct story *story) {
    struct model *told = story->told;
    story->told = story->next;
    story->next = told;
    if (story->listener && story->listener->told) {
        story->listener->told();
    }
}

void story_disbelieve(struct story *story) {
    story->refused++;
    if (story->planted && story->refused == 1) {
        story_believe(story);
    } else if (story->listener && story->listener->dropped) {
        story->listener->dropped();
    }
}

bool story_record_is(const struct buffer *text, const struct model *model,
                     struct buffer *ret_expected) {
    buffer_clear(ret_expected);
    model_text(model, ret_expected);
    return strcmp(text->bytes, ret_expected->bytes) == 0;
}

/* The outcome was unknown: the record says all of it or nothing. */
void story_find_out(struct story *story) {
    struct buffer text = {0};
    struct buffer expected = {0};
    struct complaint complaint = {0};
    int64_t operations = story_faults_pause(story);
    int status = judge_read(story->folder, true, &text, &complaint);
    if (status) {
        story_violation(story, "the record cannot be read: %s", complaint.text);
    }
    story->unknown++;
    if (story_record_is(&text, story->next, &expected)) {
        story->found++;
        story_believe(story);
    } else if (story_record_is(&text, story->told, &expected)) {
        if (story->listener && story->listener->dropped) {
            story->listener->dropped();
        }
    } else {
        story_violation(story, "an unknown outcome left neither all nor nothing: %s",
                        text_difference(expected.bytes, text.bytes));
    }
    buffer_done(&expected);
    buffer_done(&text);
    story_faults_resume(story, operations);
}

void story_check(struct story *story) {
    struct buffer text = {0};
    struct buffer expected = {0};
    struct complaint complaint = {0};
    int64_t operations = story_faults_pause(story);
    int status = judge_read(story->folder, true, &text, &complaint);
    if (status == STATUS_NOT_FOUND && story->told->coupon_count == 0) {
        status = STATUS_OK; /* no start went well yet */
    } else if (status || !story_record_is(&text, story->told, &expected)) {
        story_violation(story, "the record is not what was told: %s",
                        status ? complaint.text : text_difference(expected.bytes, text.bytes));
    } else if (judge_verify(story->folder) != 0) {
        story_violation(story, "verify finds violations");
    }
    buffer_done(&expected);
    buffer_done(&text);
    story_faults_resume(story, operations);
}

/* ---- starting and stopping ---- */

/* What loops would read without asking. */
static void judge_published(struct story *story) {
    uint64_t issues = 0;
    for (size_t i = 0; i < story->told->coupon_count; i++) {
        const struct coupon_record *told = &story->told->coupons[i].record;
        struct coupon_record shown;
        int status = issuer_coupon(station_issuer(), told->id, &shown);
        if (status != (told->archived_us ? STATUS_NOT_FOUND : STATUS_OK) ||
            (status == STATUS_OK &&
             (shown.issued_quantity != told->issued_quantity || shown.version != told->version))) {
            story_violation(story, "coupon %llu is published wrongly (%s)",
                            (unsigned long long)told->id, status_name(status));
        }
        issues += told->archived_us ? 0 : told->issued_quantity;
    }
    uint64_t shown = issuer_figures(station_issuer()).issues;
    if (shown != issues) {
        story_violation(story, "%llu issues are published, not %llu", (unsigned long long)shown,
                        (unsigned long long)issues);
    }
}

/* One try. False: it failed, for a reason that holds. */
static bool start_once(struct story *story) {
    struct complaint complaint = {0};
    shim_memory_own(false);
    int status = station_start(story->folder, story->vfs, &complaint);
    shim_memory_own(true);
    if (status) {
        story_judge_failure(story, "start", status, &complaint);
        return false;
    }
    if (station_state() == ISSUER_BROKEN) {
        complain(&complaint, STATUS_IO, "%s", station_why());
        story_judge_failure(story, "load", STATUS_IO, &complaint);
        if (strstr(complaint.text, "damaged")) {
            story_violation(story, "load calls the record damaged: %s", complaint.text);
        }
        station_stop(NULL);
        return false;
    }
    judge_published(story);
    return true;
}

/* False: the story is over. */
bool story_ensure_started(struct story *story) {
    for (int starts = 0; !story->over && !station_is_running(); starts++) {
        if (start_once(story)) {
            return true;
        }
        story->restarts++;
        if (story_is_broken_for_ever(story)) {
            story->over = story->mend_after == STORY_NEVER;
            if (starts > 0) {
                mend(story);
            }
        } else if (starts == STARTS_MAX) {
            story_violation(story, "it does not start though nothing fails any more");
        }
    }
    return !story->over;
}

void story_stop(struct story *story) {
    struct complaint complaint = {0};
    if (!station_is_running()) {
        return;
    }
    shim_memory_own(false);
    int status = station_stop(&complaint);
    shim_memory_own(true);
    if (status) {
        story_judge_failure(story, "stop", status, &complaint);
    }
    story_check(story);
}

/* After an ask, and before the next: what the server has become is followed up. */
void story_follow_up(struct story *story, bool outcome_unknown) {
    if (story_was_struck(story) && ++story->since_strike == story->mend_after) {
        mend(story);
    }
    enum issuer_state state = station_state();
    if (state == ISSUER_UNWRITABLE && !story_is_broken_for_ever(story)) {
        state = station_settle();
    }
    if (state == ISSUER_BROKEN) {
        if (!story_was_struck(story)) {
            story_violation(story, "broken, and nothing failed: %s", station_why());
        }
        shim_memory_own(false);
        station_stop(NULL);
        shim_memory_own(true);
        story->restarts++;
    }
    if (outcome_unknown) {
        story_find_out(story);
    }
    if (station_is_running()) {
        judge_published(story);
    }
}

/* ---- the whole ---- */

/* Without faults now: what a reader finds, what a server finds, and it can go on. */
static void judge_end(struct story *story) {
    struct buffer text = {0};
    struct buffer expected = {0};
    struct complaint complaint = {0};
    story_faults_pause(story);
    story_check(story);
    model_text(story->told, &expected);
    int status = judge_read(story->folder, false, &text, &complaint);
    bool nothing = status == STATUS_NOT_FOUND && story->told->coupon_count == 0;
    if (!nothing && (status || strcmp(text.bytes, expected.bytes) != 0)) {
        story_violation(story, "opened again it is not what was told: %s",
                        status ? complaint.text : text_difference(expected.bytes, text.bytes));
    }
    story->over = false;
    if (!start_once(story)) {
        story_violation(story, "it does not start again");
    }
    story_stop(story);
    buffer_done(&expected);
    buffer_done(&text);
}

void story_run(struct story *story) {
    shim_memory_own(true);
    story->told = calloc(1, sizeof(*story->told));
    story->next = calloc(1, sizeof(*story->next));
    assert(story->told && story->next);
    story->now_us = BEGIN_US;
    story_path(story, "data", story->folder);
    script_run(story);
    story_stop(story);
    judge_end(story);
    free(story->told);
    free(story->next);
}
