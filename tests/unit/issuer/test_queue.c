/* The queue between loops and writer: order, bounds, waiting, closing. */
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

static struct claim one_claim;

static struct claim_batch batch_of(size_t count) {
    return (struct claim_batch){.job = {.kind = JOB_CLAIMS}, .claims = &one_claim, .count = count};
}

static void start(struct queue *queue, size_t claims_max) {
    queue_init(queue, claims_max);
    assert_true(queue_is_empty(queue));
}

/* Closes a queue that must be empty. */
static void finish(struct queue *queue) {
    struct job_list claims;
    struct job *command;
    queue_close(queue);
    assert_false(queue_take(queue, -1, &claims, &command));
    assert_int_equal(queue->claim_count, 0);
    queue_done(queue);
}

static void push(struct queue *queue, struct job *job) {
    assert_int_equal(queue_push(queue, job), STATUS_OK);
}

/* One take must give exactly these claims, in this order, and this command. */
static void expect_take(struct queue *queue, const struct job *const *claims, size_t count,
                        const struct job *command) {
    struct job_list taken;
    struct job *taken_command;
    assert_true(queue_take(queue, 0, &taken, &taken_command));
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(job_list_pop(&taken), claims[i]);
    }
    assert_null(job_list_pop(&taken));
    assert_ptr_equal(taken_command, command);
}

static void batches_leave_in_the_order_they_came(void **state) {
    (void)state;
    struct queue queue;
    struct claim_batch a = batch_of(1), b = batch_of(2), c = batch_of(3);
    start(&queue, 100);
    push(&queue, &a.job);
    push(&queue, &b.job);
    push(&queue, &c.job);
    assert_int_equal(queue.claim_count, 6);
    assert_false(queue_is_empty(&queue));
    expect_take(&queue, (const struct job *[]){&a.job, &b.job, &c.job}, 3, NULL);
    assert_true(queue_is_empty(&queue));
    finish(&queue);
}

static void claims_go_before_commands_which_go_one_a_take(void **state) {
    (void)state;
    struct queue queue;
    struct command first = {.job.kind = JOB_COUPON_READ}, second = {.job.kind = JOB_ISSUE_READ};
    struct claim_batch a = batch_of(1), b = batch_of(1);
    start(&queue, 100);
    push(&queue, &first.job);
    push(&queue, &a.job);
    push(&queue, &second.job);
    push(&queue, &b.job);
    expect_take(&queue, (const struct job *[]){&a.job, &b.job}, 2, &first.job);
    expect_take(&queue, NULL, 0, &second.job);
    finish(&queue);
}

static void a_full_queue_refuses_claims_and_still_takes_commands(void **state) {
    (void)state;
    struct queue queue;
    struct claim_batch a = batch_of(6), b = batch_of(4), c = batch_of(1);
    struct command command = {.job.kind = JOB_COUPON_READ};
    start(&queue, 10);
    push(&queue, &a.job);
    push(&queue, &b.job);
    assert_int_equal(queue_push(&queue, &c.job), STATUS_FULL);
    assert_int_equal(queue.claim_count, 10);
    push(&queue, &command.job);
    expect_take(&queue, (const struct job *[]){&a.job, &b.job}, 2, &command.job);
    push(&queue, &c.job);
    expect_take(&queue, (const struct job *[]){&c.job}, 1, NULL);
    finish(&queue);
}

static void a_batch_above_the_bound_is_taken_when_nothing_waits(void **state) {
    (void)state;
    struct queue queue;
    struct claim_batch large = batch_of(CLAIM_BATCH_MAX), small = batch_of(1);
    start(&queue, 1);
    push(&queue, &small.job);
    assert_int_equal(queue_push(&queue, &large.job), STATUS_FULL);
    expect_take(&queue, (const struct job *[]){&small.job}, 1, NULL);
    push(&queue, &large.job);
    assert_int_equal(queue_push(&queue, &small.job), STATUS_FULL);
    expect_take(&queue, (const struct job *[]){&large.job}, 1, NULL);
    finish(&queue);
}

static void a_take_never_gives_more_than_one_step_can_do(void **state) {
    (void)state;
    struct queue queue;
    struct claim_batch a = batch_of(CLAIM_BATCH_MAX - 1), b = batch_of(1), c = batch_of(1),
                       d = batch_of(CLAIM_BATCH_MAX);
    start(&queue, 3 * CLAIM_BATCH_MAX);
    push(&queue, &a.job);
    push(&queue, &b.job);
    push(&queue, &c.job);
    push(&queue, &d.job);
    expect_take(&queue, (const struct job *[]){&a.job, &b.job}, 2, NULL);
    assert_int_equal(queue.claim_count, 1 + CLAIM_BATCH_MAX);
    /* d would not fit beside c, and nothing overtakes it */
    expect_take(&queue, (const struct job *[]){&c.job}, 1, NULL);
    expect_take(&queue, (const struct job *[]){&d.job}, 1, NULL);
    finish(&queue);
}

static void commands_have_a_bound_of_their_own(void **state) {
    (void)state;
    static struct command commands[QUEUE_COMMANDS_MAX + 1];
    struct queue queue;
    start(&queue, 1);
    for (size_t i = 0; i <= QUEUE_COMMANDS_MAX; i++) {
        commands[i].job.kind = JOB_ISSUE_READ;
        assert_int_equal(queue_push(&queue, &commands[i].job),
                         i < QUEUE_COMMANDS_MAX ? STATUS_OK : STATUS_FULL);
    }
    for (size_t i = 0; i < QUEUE_COMMANDS_MAX; i++) {
        expect_take(&queue, NULL, 0, &commands[i].job);
    }
    push(&queue, &commands[QUEUE_COMMANDS_MAX].job);
    expect_take(&queue, NULL, 0, &commands[QUEUE_COMMANDS_MAX].job);
    finish(&queue);
}

static void a_crowd_that_reads_does_not_keep_operators_out(void **state) {
    (void)state;
    static const enum job_kind kinds[] = {JOB_COUPON_CHANGE, JOB_COUPON_CREATE, JOB_COUPONS_READ,
                                          JOB_ISSUES_READ, JOB_AUDITS_READ};
    static struct command reads[QUEUE_COMMANDS_MAX];
    struct command operators[COUNT_OF(kinds)];
    struct queue queue;
    start(&queue, 1);
    for (size_t i = 0; i < QUEUE_COMMANDS_MAX; i++) {
        reads[i].job.kind = i % 2 ? JOB_HOLDING_READ : JOB_COUPON_READ;
        push(&queue, &reads[i].job);
    }
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        operators[i] = (struct command){.job.kind = kinds[i]};
        push(&queue, &operators[i].job);
    }
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        expect_take(&queue, NULL, 0, &operators[i].job);
    }
    for (size_t i = 0; i < QUEUE_COMMANDS_MAX; i++) {
        expect_take(&queue, NULL, 0, &reads[i].job);
    }
    finish(&queue);
}

static void a_command_that_wants_another_turn_goes_behind_the_others(void **state) {
    (void)state;
    struct queue queue;
    struct command long_one = {.job.kind = JOB_HOLDING_READ}, other = {.job.kind = JOB_COUPON_READ};
    start(&queue, 1);
    push(&queue, &long_one.job);
    push(&queue, &other.job);
    expect_take(&queue, NULL, 0, &long_one.job);
    queue_push_again(&queue, &long_one.job);
    expect_take(&queue, NULL, 0, &other.job);
    queue_close(&queue);
    expect_take(&queue, NULL, 0, &long_one.job);
    queue_push_again(&queue, &long_one.job); /* also when it is closed */
    expect_take(&queue, NULL, 0, &long_one.job);
    finish(&queue);
}

static void a_closed_queue_refuses_and_gives_out_what_it_holds(void **state) {
    (void)state;
    struct queue queue;
    struct job_list claims;
    struct job *taken;
    struct claim_batch a = batch_of(CLAIM_BATCH_MAX), b = batch_of(1), late = batch_of(1);
    struct command command = {.job.kind = JOB_COUPON_READ}, late_command = command;
    start(&queue, 2 * CLAIM_BATCH_MAX);
    push(&queue, &a.job);
    push(&queue, &b.job);
    push(&queue, &command.job);
    queue_close(&queue);
    assert_int_equal(queue_push(&queue, &late.job), STATUS_STOPPED);
    assert_int_equal(queue_push(&queue, &late_command.job), STATUS_STOPPED);
    expect_take(&queue, (const struct job *[]){&a.job}, 1, &command.job);
    expect_take(&queue, (const struct job *[]){&b.job}, 1, NULL);
    assert_false(queue_take(&queue, -1, &claims, &taken));
    assert_null(claims.first);
    assert_null(taken);
    finish(&queue);
}

static void a_take_of_an_empty_queue_ends_with_its_time(void **state) {
    (void)state;
    static const int64_t waits_us[] = {0, 1, 3000};
    struct queue queue;
    start(&queue, 1);
    for (size_t i = 0; i < COUNT_OF(waits_us); i++) {
        struct job_list claims;
        struct job *command;
        int64_t began_us = clock_monotonic_us();
        assert_true(queue_take(&queue, waits_us[i], &claims, &command));
        assert_true(clock_monotonic_us() - began_us >= waits_us[i]);
        assert_null(claims.first);
        assert_null(command);
    }
    finish(&queue);
}

struct waiter {
    struct queue *queue;
    struct job_list claims;
    struct job *command;
    bool open;
};

static void *wait_for_jobs(void *context) {
    struct waiter *waiter = context;
    waiter->open = queue_take(waiter->queue, -1, &waiter->claims, &waiter->command);
    return NULL;
}

static void a_take_waits_for_a_push_or_the_close(void **state) {
    (void)state;
    struct queue queue;
    struct claim_batch batch = batch_of(1);
    struct command command = {.job.kind = JOB_COUPON_READ};
    struct job *pushed[] = {&batch.job, &command.job, NULL};
    start(&queue, 1);
    for (size_t i = 0; i < COUNT_OF(pushed); i++) {
        struct waiter waiter = {.queue = &queue};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, wait_for_jobs, &waiter), 0);
        if (pushed[i]) {
            push(&queue, pushed[i]);
        } else {
            queue_close(&queue);
        }
        pthread_join(thread, NULL);
        assert_int_equal(waiter.open, pushed[i] != NULL);
        assert_ptr_equal(waiter.claims.first, i == 0 ? pushed[0] : NULL);
        assert_ptr_equal(waiter.command, i == 1 ? pushed[1] : NULL);
    }
    finish(&queue);
}

/* ---- many producers ---- */

enum { PRODUCERS = 8, BATCHES = 2000, BOUND = 300, SIZE_MAX_OF_BATCH = 100 };

struct producer {
    struct queue *queue;
    struct claim_batch *batches; /* context: the producer; the claims' count is random */
    struct command *commands;    /* one after every tenth batch */
    size_t seen_batches;         /* the taker's */
    size_t seen_commands;
};

static void push_until_taken(struct queue *queue, struct job *job) {
    int status;
    while ((status = queue_push(queue, job)) != STATUS_OK) {
        assert(status == STATUS_FULL);
        sched_yield();
    }
}

static void *produce(void *context) {
    struct producer *producer = context;
    for (size_t i = 0; i < BATCHES; i++) {
        push_until_taken(producer->queue, &producer->batches[i].job);
        if (i % 10 == 9) {
            push_until_taken(producer->queue, &producer->commands[i / 10].job);
        }
    }
    return NULL;
}

static void producer_init(struct producer *producer, struct queue *queue, uint64_t *random) {
    *producer = (struct producer){.queue = queue};
    producer->batches = calloc(BATCHES, sizeof(producer->batches[0]));
    producer->commands = calloc(BATCHES / 10, sizeof(producer->commands[0]));
    assert_true(producer->batches && producer->commands);
    for (size_t i = 0; i < BATCHES; i++) {
        producer->batches[i] = batch_of((size_t)random_between(random, 1, SIZE_MAX_OF_BATCH));
        producer->batches[i].job.context = producer;
        producer->commands[i / 10].job = (struct job){.kind = JOB_COUPON_READ, .context = producer};
    }
}

/* Every producer's jobs must come in its order. Returns how many jobs there were. */
static size_t take_and_check(struct queue *queue) {
    struct job_list claims;
    struct job *job;
    struct job *command;
    size_t jobs = 0;
    size_t size = 0;
    assert_true(queue_take(queue, -1, &claims, &command));
    while ((job = job_list_pop(&claims)) != NULL) {
        struct producer *producer = job->context;
        assert_ptr_equal(job, &producer->batches[producer->seen_batches++].job);
        size += ((struct claim_batch *)job)->count;
        jobs++;
    }
    assert_in_range(size, 0, CLAIM_BATCH_MAX < BOUND ? CLAIM_BATCH_MAX : BOUND);
    if (command) {
        struct producer *producer = command->context;
        assert_ptr_equal(command, &producer->commands[producer->seen_commands++].job);
        jobs++;
    }
    return jobs;
}

static void many_producers_lose_nothing_and_keep_their_order(void **state) {
    (void)state;
    static struct producer producers[PRODUCERS];
    pthread_t threads[PRODUCERS];
    struct queue queue;
    uint64_t random = random_seed();
    start(&queue, BOUND);
    for (size_t i = 0; i < PRODUCERS; i++) {
        producer_init(&producers[i], &queue, &random);
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    for (size_t left = PRODUCERS * (BATCHES + BATCHES / 10); left > 0;) {
        left -= take_and_check(&queue);
    }
    for (size_t i = 0; i < PRODUCERS; i++) {
        pthread_join(threads[i], NULL);
        free(producers[i].batches);
        free(producers[i].commands);
    }
    assert_int_equal(queue.reader_count, 0);
    finish(&queue);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_leave_in_the_order_they_came),
        cmocka_unit_test(claims_go_before_commands_which_go_one_a_take),
        cmocka_unit_test(a_full_queue_refuses_claims_and_still_takes_commands),
        cmocka_unit_test(a_batch_above_the_bound_is_taken_when_nothing_waits),
        cmocka_unit_test(a_take_never_gives_more_than_one_step_can_do),
        cmocka_unit_test(commands_have_a_bound_of_their_own),
        cmocka_unit_test(a_crowd_that_reads_does_not_keep_operators_out),
        cmocka_unit_test(a_command_that_wants_another_turn_goes_behind_the_others),
        cmocka_unit_test(a_closed_queue_refuses_and_gives_out_what_it_holds),
        cmocka_unit_test(a_take_of_an_empty_queue_ends_with_its_time),
        cmocka_unit_test(a_take_waits_for_a_push_or_the_close),
        cmocka_unit_test(many_producers_lose_nothing_and_keep_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
