/* Many threads at one running issuer: every claim is answered once, no rank twice, no user
 * two, and the record says what was told. Worth most under ThreadSanitizer. */
#include "running.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 6, BATCHES = 150, BATCH_MAX = 16, USERS = 2000, COUPONS = 3 };

/* More users than each quantity but the last. */
static const int64_t totals[COUPONS] = {1, 700, COUPON_UNLIMITED};

struct submitter {
    struct running *running;
    uint64_t random;
    size_t full; /* how often the queue was */
    struct claim_batch batches[BATCHES];
    struct claim claims[BATCHES][BATCH_MAX];
    char users[BATCHES][BATCH_MAX][16];
    struct command reads[BATCHES];
};

struct told {
    uint32_t issued;
    uint32_t ranks[USERS];       /* by user; 0: none was told */
    uint32_t holders[USERS + 1]; /* by rank; the user's number and one */
};

static void fill_batch(struct submitter *submitter, size_t i) {
    size_t count = (size_t)random_between(&submitter->random, 1, BATCH_MAX);
    for (size_t j = 0; j < count; j++) {
        char *user = submitter->users[i][j];
        snprintf(user, sizeof(submitter->users[i][j]), "%d",
                 (int)random_between(&submitter->random, 0, USERS - 1));
        submitter->claims[i][j] = (struct claim){
            .coupon_id = (uint64_t)random_between(&submitter->random, 1, COUPONS),
            .user_id = slice_of(user),
            .user = issuer_user_digest(submitter->running->issuer, slice_of(user)),
        };
    }
    submitter->batches[i] = (struct claim_batch){
        .job = running_command(submitter->running, JOB_CLAIMS).job,
        .claims = submitter->claims[i],
        .count = count,
    };
}

static void submit_until_taken(struct submitter *submitter, struct job *job) {
    int status;
    while ((status = issuer_submit(submitter->running->issuer, job)) != STATUS_OK) {
        assert(status == STATUS_FULL);
        submitter->full++;
        sched_yield();
    }
}

/* Every tenth batch is followed by an operator's change or a read. */
static struct command *fill_command(struct submitter *submitter, size_t i) {
    struct command *command = &submitter->reads[i];
    uint64_t coupon_id = 1 + i / 10 % COUPONS;
    *command =
        running_command(submitter->running, i % 20 == 9 ? JOB_COUPON_CHANGE : JOB_HOLDING_READ);
    command->coupon.id = coupon_id;
    command->coupon.discount_amount = (int64_t)i;
    command->patch_set = PATCH_DISCOUNT_AMOUNT;
    command->reference.coupon_id = coupon_id;
    command->user_id = submitter->claims[i][0].user_id;
    command->user = submitter->claims[i][0].user;
    return command;
}

static void *submit_all(void *context) {
    struct submitter *submitter = context;
    for (size_t i = 0; i < BATCHES; i++) {
        fill_batch(submitter, i);
        submit_until_taken(submitter, &submitter->batches[i].job);
        if (i % 10 == 9) {
            submit_until_taken(submitter, &fill_command(submitter, i)->job);
        }
    }
    return NULL;
}

/* What any loop may read meanwhile: never more than the quantity, never less than before. */
static void watch_while_running(struct running *running, size_t jobs) {
    uint32_t before[COUPONS] = {0};
    for (size_t done = 0; done < jobs;) {
        for (size_t i = 0; i < COUPONS; i++) {
            struct coupon_record coupon;
            assert_int_equal(issuer_coupon(running->issuer, i + 1, &coupon), STATUS_OK);
            assert_true(coupon.issued_quantity >= before[i]);
            assert_true(totals[i] == COUPON_UNLIMITED || coupon.issued_quantity <= totals[i]);
            before[i] = coupon.issued_quantity;
        }
        assert_int_equal(issuer_state(running->issuer), ISSUER_READY);
        assert_int_equal(issuer_figures(running->issuer).coupons, COUPONS);
        pthread_mutex_lock(&running->lock);
        done = running->done;
        pthread_mutex_unlock(&running->lock);
    }
}

static void note_told(struct told *told, const struct claim *claim) {
    size_t user = strtoul(claim->user_id.bytes, NULL, 10);
    if (claim->verdict == VERDICT_SOLD_OUT) {
        return;
    }
    assert_true(claim->verdict == VERDICT_ISSUED || claim->verdict == VERDICT_ALREADY_ISSUED);
    assert_in_range(claim->rank, 1, USERS);
    if (claim->verdict == VERDICT_ISSUED) {
        assert_int_equal(told->holders[claim->rank], 0);
        told->holders[claim->rank] = (uint32_t)user + 1;
        told->issued++;
    }
    assert_true(told->ranks[user] == 0 || told->ranks[user] == claim->rank);
    told->ranks[user] = claim->rank;
}

static void check_told(struct running *running, const struct told *told, size_t coupon) {
    struct coupon_record published;
    for (uint32_t rank = 1; rank <= told->issued; rank++) {
        assert_true(told->holders[rank] > 0); /* no gap */
        assert_int_equal(told->ranks[told->holders[rank] - 1], rank);
    }
    assert_int_equal(issuer_coupon(running->issuer, coupon + 1, &published), STATUS_OK);
    assert_int_equal(published.issued_quantity, told->issued);
    if (totals[coupon] != COUPON_UNLIMITED) {
        assert_int_equal(told->issued, totals[coupon]); /* there were users enough */
    }
}

static void gather_told(const struct submitter *submitter, struct told told[COUPONS]) {
    for (size_t i = 0; i < BATCHES; i++) {
        for (size_t j = 0; j < submitter->batches[i].count; j++) {
            const struct claim *claim = &submitter->claims[i][j];
            note_told(&told[claim->coupon_id - 1], claim);
        }
    }
}

static void a_crowd_of_threads_is_told_the_truth(void **state) {
    struct running *running = *state;
    static struct submitter submitters[THREADS];
    static struct told told[COUPONS];
    pthread_t threads[THREADS];
    uint64_t random = random_seed();
    size_t full = 0;
    running->options.queue_max = 64;
    running_start(running);
    for (size_t i = 0; i < COUPONS; i++) {
        running_make_coupon(running, i + 1, totals[i]);
    }
    for (size_t i = 0; i < THREADS; i++) {
        submitters[i] = (struct submitter){.running = running, .random = random_next(&random)};
        assert_int_equal(pthread_create(&threads[i], NULL, submit_all, &submitters[i]), 0);
    }
    watch_while_running(running, COUPONS + THREADS * (BATCHES + BATCHES / 10));
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        full += submitters[i].full;
        gather_told(&submitters[i], told);
    }
    printf("# the queue was full %zu times\n", full);
    for (size_t i = 0; i < COUPONS; i++) {
        check_told(running, &told[i], i);
    }
    running_stop(running);
    for (size_t i = 0; i < COUPONS; i++) {
        assert_record(running->folder, i + 1, told[i].issued);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_crowd_of_threads_is_told_the_truth, running_setup,
                                        running_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
