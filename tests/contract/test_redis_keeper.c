/* What the redis issuer's keeper does: changes of coupons, gates that nobody has a claim for,
 * figures; and how much may wait for the door and for it. */
#include "redis_scene.h"
#include "scripted.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- changes ---- */

static int pause_coupon(struct scene *scene, bool paused) {
    struct command command = {.job = {.kind = JOB_COUPON_CHANGE}, .patch_set = PATCH_PAUSED};
    command.coupon.id = scene->coupon_id;
    command.coupon.paused = paused;
    do_job(scene, &command.job);
    return command.status;
}

/* A change stands in the ledger when Redis could not be told: its epoch says so to all. */
static void a_change_is_in_force_though_redis_could_not_be_told(void **state) {
    static const struct {
        const char *function;
        enum scripted_how how;
    } cases[] = {{"coupon_close", SCRIPTED_NOT_DONE},
                 {"coupon_close", SCRIPTED_LOST},
                 {"coupon_open", SCRIPTED_NOT_DONE},
                 {"coupon_open", SCRIPTED_LOST}};
    struct scene scene;
    scene_warm(&scene, state, LONG_MS);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        scripted(cases[i].function, cases[i].how, NULL, 1);
        assert_int_equal(pause_coupon(&scene, true), STATUS_OK);
        assert_true(scripted_end());
        assert_claimed(&scene, "second", VERDICT_PAUSED, 0);
        assert_int_equal(pause_coupon(&scene, false), STATUS_OK);
    }
    assert_claimed(&scene, "second", VERDICT_ISSUED, 2);
    scene_end(&scene);
}

/* A node that asked by the epoch of before could be answered by a master that was cut off. It
 * learns of the new one at its door's next tick, which a busy machine may delay: then again. */
static void a_node_asks_by_the_epoch_of_its_own_change(void **state) {
    enum { TRIES = 50, TICKS_US = 60000, ASKS = 2 }; /* the coupon is loaded between them */
    struct scene scene;
    scene_warm(&scene, state, LONG_MS);
    while (scene.partition == 0) {
        scene.coupon_id = add_open_coupon(scene.ledger, COUPON_UNLIMITED);
        scene.partition = partition_of(scene.coupon_id);
    }
    uint64_t asked = 0;
    for (unsigned i = 0; i < TRIES && asked != ASKS; i++) {
        char user[16];
        snprintf(user, sizeof(user), "user-%u", i);
        assert_int_equal(pause_coupon(&scene, true), STATUS_OK);
        assert_int_equal(pause_coupon(&scene, false), STATUS_OK);
        usleep(TICKS_US);
        asked = issuer_figures(scene.issuer).step_claims.sum;
        assert_int_equal(claim_once(&scene, user).verdict, VERDICT_ISSUED);
        asked = issuer_figures(scene.issuer).step_claims.sum - asked;
    }
    assert_int_equal(asked, ASKS);
    scene_end(&scene);
}

/* A port at which nobody listens, for as long as the socket is open. */
static int silent_port(unsigned *ret_port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void without_redis_changes_are_made_and_claims_refused(void **state) {
    struct scene scene;
    unsigned port = 0;
    char url[64];
    int fd = silent_port(&port);
    scene_begin(&scene, state);
    struct issuer_redis_options options = scene_options(&scene, state);
    snprintf(url, sizeof(url), "redis://127.0.0.1:%u/0", port);
    options.redis_url = url;
    options.answer_timeout_us = SHORT_MS * 1000;
    assert_int_equal(issuer_redis_start(&options, &scene.issuer, &complaint), STATUS_OK);
    assert_int_equal(verdict_unsettled(&scene, "first"), VERDICT_STORAGE_UNAVAILABLE);
    assert_int_equal(pause_coupon(&scene, true), STATUS_OK);
    assert_int_equal(issuer_state(scene.issuer), ISSUER_STARTING);
    scene_stop(&scene);
    close(fd);
    scene_start(&scene, state, LONG_MS);
    assert_claimed(&scene, "first", VERDICT_PAUSED, 0);
    scene_end(&scene);
}

static void more_commands_than_may_wait_are_refused_at_once(void **state) {
    enum { ROOM = 1024 };
    static struct command commands[ROOM + 2];
    static struct handed handed[ROOM + 2];
    struct scene scene;
    scene_warm(&scene, state, LONG_MS);
    memset(commands, 0, sizeof(commands));
    scripted("coupon_close", SCRIPTED_LATE, "0.5", 1);
    size_t taken = 0;
    for (;;) {
        struct command *command = &commands[taken];
        command->job.kind = taken == 0 ? JOB_COUPON_CHANGE : JOB_COUPON_CREATE;
        command->coupon = coupon_example(COUPON_UNLIMITED);
        command->coupon.id = scene.coupon_id; /* it exists: the creations write nothing */
        command->patch_set = PATCH_PAUSED;
        if (taken == 1) {
            wait_until(scripted_is_met()); /* it is under way, and waits no more */
        }
        if (taken == ROOM + 1) {
            command->job.done = never_done;
            assert_int_equal(issuer_submit(scene.issuer, &command->job), STATUS_FULL);
            break;
        }
        handed_begin(&scene, &handed[taken], &command->job);
        taken++;
    }
    for (size_t i = 0; i < taken; i++) {
        wait_until(handed_is_done(&handed[i]));
        assert_int_equal(commands[i].status, i == 0 ? STATUS_OK : STATUS_EXISTS);
    }
    scene_end(&scene);
}

/* ---- claims of coupons that nobody knows ---- */

enum { LOADING_MAX = 64 }; /* of a partition, at a time */
enum { STRANGE_PARTITIONS = 8, STRANGERS = STRANGE_PARTITIONS * LOADING_MAX };

/* Claims, each of another coupon that is not there. */
struct strangers {
    struct claim claims[STRANGERS];
    struct claim_batch batch;
    struct handed handed;
};

/* The first of so many coupons of each of the partitions behind that of the scene's coupon. */
static void strangers_begin(struct scene *scene, struct strangers *strangers, unsigned partitions,
                            size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint64_t behind = 1 + i % partitions + (1000 + i / partitions) * PARTITION_COUNT;
        strangers->claims[i] =
            (struct claim){.coupon_id = scene->coupon_id + behind, .user_id = slice_of("stranger")};
    }
    strangers->batch = (struct claim_batch){
        .job = {.kind = JOB_CLAIMS}, .claims = strangers->claims, .count = count};
    handed_begin(scene, &strangers->handed, &strangers->batch.job);
}

static void assert_unknown(struct strangers *strangers) {
    wait_until(handed_is_done(&strangers->handed));
    for (size_t i = 0; i < strangers->batch.count; i++) {
        assert_int_equal(strangers->claims[i].verdict, VERDICT_NO_SUCH_COUPON);
    }
}

struct pause_among_strangers {
    struct scene *scene;
    struct strangers strangers;
    struct command pause;
    struct handed paused;
};

/* In the keeper's thread, which is held up so long. */
static void begin_pause_behind_strangers(void *context) {
    struct pause_among_strangers *among = context;
    strangers_begin(among->scene, &among->strangers, STRANGE_PARTITIONS, STRANGERS);
    usleep(300000); /* until Redis has said of all that it does not know their coupons */
    among->pause = (struct command){.job = {.kind = JOB_COUPON_CHANGE}, .patch_set = PATCH_PAUSED};
    among->pause.coupon.id = among->scene->coupon_id;
    among->pause.coupon.paused = true;
    handed_begin(among->scene, &among->paused, &among->pause.job);
}

static void claims_of_unknown_coupons_keep_nobody_from_pausing_one(void **state) {
    static struct pause_among_strangers among;
    struct scene scene;
    scene_warm(&scene, state, LONG_MS);
    among.scene = &scene;
    strangers_begin(&scene, &among.strangers, STRANGE_PARTITIONS, STRANGE_PARTITIONS);
    assert_unknown(&among.strangers); /* and the gates are open */
    scripted_before("coupon_close", begin_pause_behind_strangers, &among);
    assert_int_equal(pause_coupon(&scene, false), STATUS_OK);
    wait_until(handed_is_done(&among.paused));
    assert_false(handed_is_done(&among.strangers.handed));
    assert_int_equal(among.pause.status, STATUS_OK);
    assert_unknown(&among.strangers);
    scene_end(&scene);
}

struct strangers_too_many {
    struct scene *scene;
    struct strangers strangers;
    struct claim claims[2];
    struct claim_batch batches[2];
    struct handed handed[2];
};

/* One of a coupon more than may be looked up at a time, and one of the first that is. */
static void begin_too_many(void *context) {
    struct strangers_too_many *many = context;
    strangers_begin(many->scene, &many->strangers, 1, LOADING_MAX);
    uint64_t first = many->strangers.claims[0].coupon_id;
    for (size_t i = 0; i < COUNT_OF(many->claims); i++) {
        uint64_t id = i == 0 ? first + (uint64_t)LOADING_MAX * PARTITION_COUNT : first;
        many->claims[i] = (struct claim){.coupon_id = id, .user_id = slice_of("one more")};
        many->batches[i] = (struct claim_batch){
            .job = {.kind = JOB_CLAIMS}, .claims = &many->claims[i], .count = 1};
        handed_begin(many->scene, &many->handed[i], &many->batches[i].job);
    }
    wait_until(handed_is_done(&many->handed[0])); /* it has not waited for the keeper */
}

static void more_coupons_than_may_be_looked_up_are_refused_at_once(void **state) {
    static struct strangers_too_many many;
    struct scene scene;
    scene_warm(&scene, state, LONG_MS);
    many.scene = &scene;
    strangers_begin(&scene, &many.strangers, 1, 1);
    assert_unknown(&many.strangers);
    for (int turn = 0; turn < 2; turn++) { /* then there is room again */
        scripted_before("coupon_close", begin_too_many, &many);
        assert_int_equal(pause_coupon(&scene, false), STATUS_OK);
        assert_unknown(&many.strangers);
        wait_until(handed_is_done(&many.handed[1]));
        assert_int_equal(many.claims[0].verdict, VERDICT_OVERLOADED);
        assert_int_equal(many.claims[1].verdict, VERDICT_NO_SUCH_COUPON);
    }
    assert_claimed(&scene, "second", VERDICT_ISSUED, 2);
    scene_end(&scene);
}

struct asleep {
    struct scene *scene;
    struct crowd crowd; /* of another coupon, whose partition's gate is open */
    atomic_bool over;
};

static void nothing_done(struct job *job) {
    (void)job;
}

/* In the keeper's thread, until it is told to stop and takes no commands any more. */
static void sleep_until_stopped(void *context) {
    static struct command asked[1000];
    struct asleep *asleep = context;
    size_t taken = 0;
    crowd_begin(asleep->scene, &asleep->crowd, "late", 1);
    wait_until(handed_is_done(&asleep->crowd.handed));
    scripted("coupon_load", SCRIPTED_NOT_DONE, NULL, 1);
    atomic_store(&asleep->over, true);
    for (int status = STATUS_OK; status != STATUS_STOPPED; taken++) {
        assert_true(taken < COUNT_OF(asked));
        struct command *command = &asked[taken];
        *command = (struct command){.job = {.kind = JOB_COUPON_CREATE, .done = nothing_done},
                                    .coupon = coupon_example(COUPON_UNLIMITED)};
        command->coupon.id = asleep->scene->coupon_id; /* it exists */
        status = issuer_submit(asleep->scene->issuer, &command->job);
        usleep(5000);
    }
}

static void a_stop_does_nothing_that_nobody_waits_for(void **state) {
    static struct asleep asleep;
    static struct command pause;
    static struct handed paused;
    struct scene scene;
    scene_warm(&scene, state, SHORT_MS);
    uint64_t first = scene.coupon_id;
    while (partition_of(scene.coupon_id) == partition_of(first)) {
        scene.coupon_id = add_open_coupon(scene.ledger, COUPON_UNLIMITED);
    }
    scene.partition = partition_of(scene.coupon_id);
    struct strangers *strangers = calloc(1, sizeof(*strangers));
    strangers->claims[0] = (struct claim){.coupon_id = scene.coupon_id + 1000 * PARTITION_COUNT,
                                          .user_id = slice_of("stranger")};
    strangers->batch =
        (struct claim_batch){.job = {.kind = JOB_CLAIMS}, .claims = strangers->claims, .count = 1};
    handed_begin(&scene, &strangers->handed, &strangers->batch.job);
    assert_unknown(strangers); /* and the gate is open */
    free(strangers);
    asleep.scene = &scene;
    scripted_before("coupon_close", sleep_until_stopped, &asleep);
    pause = (struct command){.job = {.kind = JOB_COUPON_CHANGE}, .patch_set = PATCH_PAUSED};
    pause.coupon.id = first;
    handed_begin(&scene, &paused, &pause.job);
    wait_until(atomic_load(&asleep.over));
    assert_int_equal(asleep.crowd.claims[0].verdict, VERDICT_STORAGE_UNAVAILABLE);
    scene_stop(&scene);
    assert_true(handed_is_done(&paused)); /* an operator waited for that */
    assert_int_equal(scripted_left(), 1);
    assert_false(scripted_end());
    scene_start(&scene, state, LONG_MS);
    assert_claimed(&scene, "late", VERDICT_ISSUED, 1);
    scene_end(&scene);
}

static struct partition_status status_of(struct scene *scene, uint64_t queue_epoch) {
    struct partition_status status;
    assert_int_equal(
        partition_status_read(scene->worker, scene->partition, queue_epoch, &status, &complaint),
        STATUS_OK);
    return status;
}

/* The change begins one epoch, and who opens the gate again another. */
static void a_change_leaves_no_queue_behind(void **state) {
    struct scene scene;
    struct crowd crowd;
    scene_warm(&scene, state, LONG_MS);
    uint64_t epoch = status_of(&scene, 1).epoch;
    crowd_begin(&scene, &crowd, "second", 1);
    wait_until(status_of(&scene, epoch).queued == 1);
    assert_int_equal(pause_coupon(&scene, true), STATUS_OK);
    crowd_settled(&scene, &crowd);
    assert_int_equal(crowd.claims[0].verdict, VERDICT_ISSUED);
    assert_int_equal(status_of(&scene, epoch).epoch, epoch + 2);
    assert_int_equal(status_of(&scene, epoch).queued, 0);
    scene_end(&scene);
}

/* ---- figures, and gates that nobody has a claim for ---- */

static size_t gates_known(struct scene *scene) {
    struct ledger_cursor cursors[PARTITION_COUNT];
    size_t count = 0;
    assert_int_equal(ledger_cursors_read(scene->ledger, cursors), STATUS_OK);
    for (size_t p = 0; p < PARTITION_COUNT; p++) {
        count += cursors[p].epoch > 0;
    }
    return count;
}

static void the_keeper_opens_lost_gates_by_itself(void **state) {
    enum { GATES_MIN = 9 }; /* more than it opens at one look */
    struct scene scene;
    size_t gates;
    scene_begin(&scene, state);
    struct issuer_redis_options options = scene_options(&scene, state);
    options.refresh_interval_us = US_PER_SECOND / 50;
    scene_start_with(&scene, &options);
    uint64_t coupon_id = scene.coupon_id;
    assert_claimed(&scene, "one", VERDICT_ISSUED, 1);
    while ((gates = gates_known(&scene)) < GATES_MIN) {
        scene.coupon_id = add_open_coupon(scene.ledger, COUPON_UNLIMITED);
        scene.partition = partition_of(scene.coupon_id);
        assert_claimed(&scene, "one", VERDICT_ISSUED, 1);
    }
    wait_until(issuer_figures(scene.issuer).queue.gates_open == gates);
    uint64_t rebuilt = issuer_figures(scene.issuer).queue.rebuilt;
    redis_empty(&scene);
    wait_until(issuer_figures(scene.issuer).queue.rebuilt == rebuilt + gates);
    wait_until(issuer_figures(scene.issuer).queue.gates_open == gates);
    assert_int_equal(gates_known(&scene), gates);
    scene.coupon_id = coupon_id;
    scene_end(&scene);
}

static void figures_stay_as_they_were_while_redis_does_not_tell(void **state) {
    struct scene scene;
    struct crowd crowd;
    scene_begin(&scene, state);
    struct issuer_redis_options options = scene_options(&scene, state);
    options.refresh_interval_us = US_PER_SECOND / 50;
    options.answer_timeout_us = SHORT_MS * 1000;
    scene_start_with(&scene, &options);
    crowd_begin(&scene, &crowd, "first", 1);
    wait_until(issuer_figures(scene.issuer).queue.waiting == 1);
    wait_until(issuer_figures(scene.issuer).queue.oldest_us > 0);
    scripted("coupon_status", SCRIPTED_SAYS, "*7|$2|ok|$1|1|$1|1|$1|0|$1|1|$1|x|$1|0|", OFTEN);
    crowd_unsettled(&scene, &crowd);
    assert_int_equal(issuer_figures(scene.issuer).queue.waiting, 1);
    (void)scripted_end();
    worker_turn(&scene);
    wait_until(issuer_figures(scene.issuer).queue.waiting == 0);
    assert_int_equal(issuer_figures(scene.issuer).queue.oldest_us, 0);
    scene_end(&scene);
}

/* ---- how much may wait ---- */

static void assert_full(struct scene *scene) {
    struct claim claim = {.coupon_id = scene->coupon_id, .user_id = slice_of("late")};
    struct claim_batch batch = {
        .job = {.kind = JOB_CLAIMS, .done = never_done}, .claims = &claim, .count = 1};
    assert_int_equal(issuer_submit(scene->issuer, &batch.job), STATUS_FULL);
}

static void only_what_is_alone_may_be_more_than_may_wait(void **state) {
    static struct crowd large, first, second;
    struct scene scene;
    scene_begin(&scene, state);
    struct issuer_redis_options options = scene_options(&scene, state);
    options.queue_max = 2;
    options.answer_timeout_us = LONG_MS * INT64_C(1000);
    scene_start_with(&scene, &options);
    crowd_begin(&scene, &large, "large", 3);
    assert_full(&scene);
    crowd_settled(&scene, &large);
    crowd_begin(&scene, &first, "first", 1);
    crowd_begin(&scene, &second, "second", 1);
    assert_full(&scene);
    crowd_settled(&scene, &first);
    crowd_settled(&scene, &second);
    assert_int_equal(large.claims[2].verdict, VERDICT_ISSUED);
    assert_int_equal(second.claims[0].verdict, VERDICT_ISSUED);
    scene_end(&scene);
}

/* All in one ledger, as in test_redis_issuer.c. */
int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_asks_by_the_epoch_of_its_own_change),
        cmocka_unit_test(a_change_is_in_force_though_redis_could_not_be_told),
        cmocka_unit_test(without_redis_changes_are_made_and_claims_refused),
        cmocka_unit_test(more_commands_than_may_wait_are_refused_at_once),
        cmocka_unit_test(claims_of_unknown_coupons_keep_nobody_from_pausing_one),
        cmocka_unit_test(more_coupons_than_may_be_looked_up_are_refused_at_once),
        cmocka_unit_test(a_stop_does_nothing_that_nobody_waits_for),
        cmocka_unit_test(a_change_leaves_no_queue_behind),
        cmocka_unit_test(the_keeper_opens_lost_gates_by_itself),
        cmocka_unit_test(figures_stay_as_they_were_while_redis_does_not_tell),
        cmocka_unit_test(only_what_is_alone_may_be_more_than_may_wait),
    };
    return cmocka_run_group_tests(tests, place_setup, place_teardown);
}
