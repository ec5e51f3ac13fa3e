/* The embedded issuer: a thread around the writer's turns. The thread owns the writer, and with
 * it engine, ledger and the board's changes; loops only push jobs and read what is published. */
#include "issuer/writer.h"

#include <stdlib.h>

struct local {
    struct issuer issuer; /* first */
    struct writer writer;
    pthread_t thread;
    int close_status;
    struct complaint close_complaint;
};

/* ---- the writer's thread ---- */

static void *write_jobs(void *context) {
    struct local *local = context;
    struct writer *writer = &local->writer;
    struct job_list claims;
    struct job *command;
    pthread_setname_np(pthread_self(), "writer");
    writer_load(writer);
    while (queue_take(&writer->queue, writer_wait_us(writer), &claims, &command)) {
        writer_turn(writer, &claims, command);
    }
    local->close_status = writer_close(writer, &local->close_complaint);
    return NULL;
}

/* ---- any thread ---- */

static struct writer *writer_of(struct issuer *issuer) {
    return &((struct local *)issuer)->writer;
}

static const struct writer *published_of(const struct issuer *issuer) {
    return &((const struct local *)issuer)->writer;
}

static int local_submit(struct issuer *issuer, struct job *job) {
    return queue_push(&writer_of(issuer)->queue, job);
}

static struct digest local_user_digest(const struct issuer *issuer, struct slice user_id) {
    return digest_of(&published_of(issuer)->options.digest_key, user_id);
}

static enum issuer_state local_state(const struct issuer *issuer) {
    return (enum issuer_state)atomic_load(&published_of(issuer)->state);
}

static int local_coupon(const struct issuer *issuer, uint64_t coupon_id,
                        struct coupon_record *ret_coupon) {
    return board_read(published_of(issuer)->core->board, coupon_id, ret_coupon);
}

static size_t local_quantities(const struct issuer *issuer, uint64_t after_id, size_t limit,
                               struct coupon_quantities *ret_quantities) {
    return board_quantities(published_of(issuer)->core->board, after_id, limit, ret_quantities);
}

static struct issuer_figures local_figures(const struct issuer *issuer) {
    return writer_figures(published_of(issuer));
}

static void local_hurry(struct issuer *issuer) {
    atomic_store(&writer_of(issuer)->core->hurry, true);
}

static int local_stop(struct issuer *issuer, struct complaint *complaint) {
    struct local *local = (struct local *)issuer;
    queue_close(&local->writer.queue);
    pthread_join(local->thread, NULL);
    atomic_store(&local->writer.state, ISSUER_STOPPING);
    if (complaint) {
        *complaint = local->close_complaint;
    }
    return local->close_status;
}

static void local_free(struct issuer *issuer) {
    struct local *local = (struct local *)issuer;
    writer_done(&local->writer);
    free(local);
}

static const struct issuer_operations local_operations = {
    .submit = local_submit,
    .user_digest = local_user_digest,
    .state = local_state,
    .coupon = local_coupon,
    .quantities = local_quantities,
    .figures = local_figures,
    .hurry = local_hurry,
    .stop = local_stop,
    .free = local_free,
};

/* ---- start ---- */

void issuer_local_options_default(struct issuer_local_options *ret_options) {
    *ret_options = (struct issuer_local_options){
        .directory = "data",
        .queue_max = 65536,
        .coupons_max = 262144,
        .probe_interval_us = US_PER_SECOND / 4,
    };
}

int issuer_local_start(const struct issuer_local_options *options, struct issuer **ret_issuer,
                       struct complaint *complaint) {
    struct local *local = calloc(1, sizeof(*local));
    if (!local) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory to start");
    }
    local->issuer.operations = &local_operations;
    int status = writer_open(&local->writer, options, complaint);
    if (status) {
        free(local);
        return status;
    }
    if (pthread_create(&local->thread, NULL, write_jobs, local)) {
        writer_close(&local->writer, NULL);
        local_free(&local->issuer);
        return complain(complaint, STATUS_NO_MEMORY, "the writer's thread cannot be started");
    }
    *ret_issuer = &local->issuer;
    return STATUS_OK;
}
