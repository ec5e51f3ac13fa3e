/* Each value that a SQL server answers with is in turn none that the schema allows, as after damage
 * or a change by hand. A read says so, and changes nothing of what it was asked for; a write is not
 * done. Afterwards the same ledger works. Also: tables that lack a row which must be there. */
#include "scene.h"
#include "wrong_values.h"

#include <stdio.h>

#define VALUES_MAX 4000 /* of one call: it comes to an end */

/* Lets the nth value of a read be wrong. Whether there was one. */
static bool fail_reading(struct scene *scene, const struct reading *reading, enum wrong_value wrong,
                         unsigned nth, uint64_t right) {
    wrong_values_arm(wrong, nth);
    int status = reading->run(scene);
    bool reached = wrong_values_disarm();
    /* Where the column allows NULL it is a value, and so it is to who looks for the latest. */
    if (reached && status != STATUS_DAMAGED && (status != STATUS_OK || wrong != WRONG_NULL)) {
        fail_msg("%s, %s at %u: %s", reading->name, wrong_value_name(wrong), nth,
                 status_name(status));
    }
    assert_ok(reading->run(scene), reading->name);
    assert_int_equal(scene->seen, right);
    return reached;
}

static void a_read_takes_no_value_that_cannot_be(void **state) {
    struct scene scene;
    unsigned damaged = 0;
    scene_begin(&scene, state);
    scene_fill(&scene);
    for (size_t i = 0; i < READ_COUNT - 1; i++) { /* the last is another session's */
        for (int wrong = 0; wrong < WRONG_COUNT; wrong++) {
            assert_ok(reads[i].run(&scene), reads[i].name);
            uint64_t right = scene.seen;
            unsigned nth = 1;
            while (fail_reading(&scene, &reads[i], (enum wrong_value)wrong, nth, right)) {
                assert_true(++nth < VALUES_MAX);
            }
            damaged += nth - 1;
        }
    }
    assert_true(damaged > 500);
    session_end(scene.session);
}

/* What the server says of itself is asked for at each opening; not all of it matters. */
static void an_open_takes_wrong_answers_or_says_why_not(void **state) {
    struct scene scene = {.state = state, .ledger = ledger_of(state)};
    for (int wrong = 0; wrong < WRONG_COUNT; wrong++) {
        bool reached = true;
        for (unsigned nth = 1; reached; nth++) {
            assert_true(nth < VALUES_MAX);
            complaint.text[0] = '\0';
            wrong_values_arm((enum wrong_value)wrong, nth);
            int status = run_open(&scene);
            reached = wrong_values_disarm();
            assert_true(status == STATUS_OK || (reached && complaint.text[0] != '\0'));
        }
        assert_ok(run_open(&scene), "open");
    }
}

/* Lets the nth value that a write reads be wrong. Whether there was one. */
static bool fail_writing(struct scene *scene, const struct writing *writing, enum wrong_value wrong,
                         unsigned nth) {
    if (writing->prepare) {
        writing->prepare(scene);
    }
    uint64_t before = writing->look(scene);
    if (writing->prepare) {
        writing->prepare(scene);
    }
    wrong_values_arm(wrong, nth);
    int status = writing->run(scene);
    bool reached = wrong_values_disarm();
    wait_until_usable(scene, writing->name);
    uint64_t step = writing->look(scene) - before;
    if (step != (status == STATUS_OK ? writing->step : 0) ||
        (reached && wrong != WRONG_NULL && status == STATUS_OK) || (!reached && status < 0)) {
        fail_msg("%s, %s at %u: %s, and it went on by %llu", writing->name, wrong_value_name(wrong),
                 nth, status_name(status), (unsigned long long)step);
    }
    return reached;
}

static void a_write_that_reads_what_cannot_be_is_not_done(void **state) {
    struct scene scene;
    unsigned damaged = 0;
    scene_begin(&scene, state);
    for (size_t i = 0; i < WRITING_COUNT; i++) {
        for (int wrong = 0; wrong < WRONG_COUNT; wrong++) {
            unsigned nth = 1;
            while (fail_writing(&scene, &writings[i], (enum wrong_value)wrong, nth)) {
                assert_true(++nth < VALUES_MAX);
            }
            damaged += nth - 1;
        }
    }
    assert_true(damaged > 50);
    session_end(scene.session);
}

/* ---- rows that must be there ---- */

static void a_partition_that_is_gone_is_damage(void **state) {
    struct ledger_cursor cursors[PARTITION_COUNT];
    struct scene scene;
    scene_begin(&scene, state);
    assert_sql(state, "DELETE FROM partitions WHERE p = 63", "");
    assert_int_equal(ledger_cursors_read(scene.ledger, cursors), STATUS_DAMAGED);
    session_end(scene.session);
}

static void a_probe_without_its_row_is_damage(void **state) {
    assert_sql(state, "DELETE FROM probes", "");
    assert_complains(STATUS_DAMAGED, ledger_probe(ledger_of(state), &complaint));
    assert_says("probe row");
}

static void a_ledger_without_its_version_is_not_opened(void **state) {
    struct scene scene = {.state = state, .ledger = ledger_of(state)};
    assert_sql(state, "DELETE FROM ledger_version", "");
    complaint.text[0] = '\0';
    assert_true(run_open(&scene) < 0); /* MariaDB: as if its tables were half made */
    assert_true(complaint.text[0] != '\0');
}

static void a_reject_that_is_not_there_is_not_found(void **state) {
    struct scene scene;
    struct reject_record reject;
    struct reject_place place = {.partition = 5, .epoch = 1, .n = 1, .index = 1}; /* is there */
    scene_begin(&scene, state);
    scene_fill(&scene);
    assert_int_equal(ledger_reject_read(scene.ledger, &place, &reject), STATUS_OK);
    struct reject_place others[] = {place, place, place, place, place};
    others[0].partition = 4;
    others[1].epoch = 0;
    others[2].n = 0;
    others[3].index = 0;
    others[4].partition = PARTITION_COUNT - 1;
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        assert_int_equal(ledger_reject_read(scene.ledger, &others[i], &reject), STATUS_NOT_FOUND);
        assert_complains(STATUS_NOT_FOUND,
                         ledger_reject_drop(scene.ledger, &others[i], &complaint));
    }
    session_end(scene.session);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        with_ledger(a_read_takes_no_value_that_cannot_be),
        with_ledger(an_open_takes_wrong_answers_or_says_why_not),
        with_ledger(a_write_that_reads_what_cannot_be_is_not_done),
        with_ledger(a_partition_that_is_gone_is_damage),
        with_ledger(a_probe_without_its_row_is_damage),
        with_ledger(a_ledger_without_its_version_is_not_opened),
        with_ledger(a_reject_that_is_not_there_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
