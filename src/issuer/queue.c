/* Two lists under one lock. The lock is held for a few pointer moves only; while the writer
 * waits for the disk the next batches gather here, which is the group commit. */
#include "issuer/queue.h"

#include <time.h>

void job_list_push(struct job_list *list, struct job *job) {
    job->next = NULL;
    if (list->last) {
        list->last->next = job;
    } else {
        list->first = job;
    }
    list->last = job;
}

struct job *job_list_pop(struct job_list *list) {
    struct job *job = list->first;
    if (job) {
        list->first = job->next;
        if (!list->first) {
            list->last = NULL;
        }
        job->next = NULL;
    }
    return job;
}

void queue_init(struct queue *queue, size_t claims_max) {
    *queue = (struct queue){.claims_max = claims_max};
    pthread_condattr_t attributes;
    int failed = pthread_condattr_init(&attributes);
    failed |= pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    failed |= pthread_mutex_init(&queue->lock, NULL);
    failed |= pthread_cond_init(&queue->not_empty, &attributes);
    assert(failed == 0); /* nothing of it allocates */
    pthread_condattr_destroy(&attributes);
}

void queue_done(struct queue *queue) {
    assert(!queue->claims.first);
    assert(!queue->operators.first && !queue->readers.first);
    pthread_cond_destroy(&queue->not_empty);
    pthread_mutex_destroy(&queue->lock);
}

static size_t claims_in(const struct job *job) {
    return ((const struct claim_batch *)job)->count;
}

static bool fits_a_step(const struct job *job) {
    return claims_in(job) > 0 && claims_in(job) <= CLAIM_BATCH_MAX;
}

static bool is_of_operators(const struct job *command) {
    return command->kind == JOB_COUPON_CREATE || command->kind == JOB_COUPON_CHANGE ||
           command->kind == JOB_COUPONS_READ || command->kind == JOB_ISSUES_READ ||
           command->kind == JOB_AUDITS_READ;
}

static int push_command(struct queue *queue, struct job *command, size_t count_max) {
    bool of_operators = is_of_operators(command);
    size_t *count = of_operators ? &queue->operator_count : &queue->reader_count;
    if (*count >= count_max) {
        return STATUS_FULL;
    }
    (*count)++;
    job_list_push(of_operators ? &queue->operators : &queue->readers, command);
    return STATUS_OK;
}

static struct job *pop_command(struct queue *queue) {
    struct job *command = job_list_pop(&queue->operators);
    if (command) {
        queue->operator_count--;
        return command;
    }
    command = job_list_pop(&queue->readers);
    queue->reader_count -= command ? 1 : 0;
    return command;
}

static bool is_empty_locked(const struct queue *queue) {
    return !queue->claims.first && !queue->operators.first && !queue->readers.first;
}

static int push_locked(struct queue *queue, struct job *job) {
    if (queue->closed) {
        return STATUS_STOPPED;
    }
    if (job->kind != JOB_CLAIMS) {
        return push_command(queue, job, QUEUE_COMMANDS_MAX);
    }
    size_t waiting = queue->claim_count;
    if (waiting > 0 && waiting + claims_in(job) > queue->claims_max) {
        return STATUS_FULL;
    }
    queue->claim_count = waiting + claims_in(job);
    job_list_push(&queue->claims, job);
    return STATUS_OK;
}

int queue_push(struct queue *queue, struct job *job) {
    assert(job->kind != JOB_CLAIMS || fits_a_step(job)); /* or it would never be taken */
    pthread_mutex_lock(&queue->lock);
    int status = push_locked(queue, job);
    pthread_mutex_unlock(&queue->lock);
    if (status == STATUS_OK) {
        pthread_cond_signal(&queue->not_empty);
    }
    return status;
}

void queue_push_again(struct queue *queue, struct job *job) {
    assert(job->kind != JOB_CLAIMS);
    pthread_mutex_lock(&queue->lock);
    int status = push_command(queue, job, SIZE_MAX);
    assert(status == STATUS_OK);
    pthread_mutex_unlock(&queue->lock);
}

static void wait_locked(struct queue *queue, int64_t wait_us) {
    if (wait_us < 0) {
        pthread_cond_wait(&queue->not_empty, &queue->lock);
        return;
    }
    struct timespec until = {.tv_sec = wait_us / US_PER_SECOND,
                             .tv_nsec = wait_us % US_PER_SECOND * 1000};
    pthread_cond_timedwait(&queue->not_empty, &queue->lock, &until);
}

bool queue_take(struct queue *queue, int64_t wait_us, struct job_list *ret_claims,
                struct job **ret_command) {
    int64_t until_us = wait_us < 0 ? -1 : clock_monotonic_us() + wait_us;
    *ret_claims = (struct job_list){0};
    pthread_mutex_lock(&queue->lock);
    while (is_empty_locked(queue) && !queue->closed &&
           (until_us < 0 || clock_monotonic_us() < until_us)) {
        wait_locked(queue, until_us);
    }
    size_t taken = 0;
    while (queue->claims.first && taken + claims_in(queue->claims.first) <= CLAIM_BATCH_MAX) {
        taken += claims_in(queue->claims.first);
        job_list_push(ret_claims, job_list_pop(&queue->claims));
    }
    queue->claim_count -= taken;
    *ret_command = pop_command(queue);
    bool open = taken > 0 || *ret_command || !queue->closed;
    pthread_mutex_unlock(&queue->lock);
    return open;
}

bool queue_is_empty(struct queue *queue) {
    pthread_mutex_lock(&queue->lock);
    bool empty = is_empty_locked(queue);
    pthread_mutex_unlock(&queue->lock);
    return empty;
}

void queue_close(struct queue *queue) {
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_mutex_unlock(&queue->lock);
    pthread_cond_broadcast(&queue->not_empty);
}
