/* writer: what the embedded issuer's one writer does, a turn at a time: the queue, the clock and
 * the core together, without a thread.
 *
 * local.c runs it in a thread of its own; a simulator drives the same turns on its own clock.
 * Not for: deciding and writing (step.h), waiting (queue.h). Unless a comment says otherwise a
 * function is called by the writer alone. Internal to issuer/.
 *
 *   writer_open, writer_load,
 *   while (queue_take(&writer->queue, writer_wait_us(writer), &claims, &command))
 *       writer_turn(writer, &claims, command);
 *   writer_close, writer_done
 */
#ifndef COUPON_ISSUER_WRITER_H
#define COUPON_ISSUER_WRITER_H

#include "issuer/step.h"

/* Counted by the writer. */
struct writer_figures {
    struct counter memory_bytes;
    struct counter commit_failures;
    struct histogram step_claims;
    struct histogram commit_rows;
    struct histogram commit_us;
    struct histogram checkpoint_us;
};

struct writer {
    struct issuer_local_options options;
    struct core *core;
    struct queue queue; /* any thread pushes */
    struct clock clock;
    int64_t next_probe_us; /* monotonic */
    bool engine_untidy;    /* it may have more to do when it is quiet */
    bool quiet;            /* nobody has asked since the last turn without jobs */
    struct writer_figures figures;
    /* as published, for any thread to read */
    _Atomic int state;
    _Atomic uint64_t issues;
    _Atomic int64_t held_back_us;
};

/* Opens the ledger and makes what a writer needs; `*writer` is undefined after a failure.
 * Errors as for issuer_local_start. */
int MUST_CHECK writer_open(struct writer *writer, const struct issuer_local_options *options,
                           struct complaint *complaint);
/* Reads the record; the state tells what became of it. Once, before the first turn. */
void writer_load(struct writer *writer);

/* How long it may wait for jobs before it wants a turn without any; negative: for ever. */
int64_t writer_wait_us(const struct writer *writer);
/* One turn: decides, writes and answers what queue_take gave, or nothing (`claims` empty and
 * `command` NULL: nobody asked for so long), and does its housekeeping. */
void writer_turn(struct writer *writer, struct job_list *claims, struct job *command);

/* Closes the ledger; its complaint and status. Then only writer_done, and reading what is
 * published, remain. */
int writer_close(struct writer *writer, struct complaint *complaint);
void writer_done(struct writer *writer); /* closed before, its queue empty */

/* Of the published figures all that the writer counts. Any thread. */
struct issuer_figures writer_figures(const struct writer *writer);

#endif
