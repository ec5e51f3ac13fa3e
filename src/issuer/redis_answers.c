/* What became of claims, asked of the ledger: first where the cursors stand, then who holds what,
 * so that a claim whose entry is settled and who holds nothing was rejected. See redis_issuer.h. */
#include "issuer/redis_issuer.h"
#include "issuer/settled.h"

static enum seat_answer answer_held(struct question *question, const struct settle_claim *looked) {
    question->verdict = settled_verdict(looked);
    question->rank = looked->rank;
    question->issued_at_us = looked->issued_at_us;
    return SEAT_DECIDED;
}

static enum seat_answer answer_of(struct question *question, const struct settle_claim *looked,
                                  const struct ledger_cursor *cursor) {
    if (looked->outcome == SETTLE_ALREADY_ISSUED) {
        return answer_held(question, looked);
    }
    bool waits = question->n > 0;
    if (waits && cursor->epoch == question->epoch && cursor->n < question->n) {
        return SEAT_WAITS;
    }
    if (waits && cursor->epoch < question->epoch) {
        return SEAT_WAITS; /* the cursor was read before that epoch began */
    }
    assert(looked->outcome != SETTLE_ISSUED); /* a look issues nothing */
    /* Rejected, or of an epoch that is over, or refused by a Redis that does not know all holders.
     */
    if (looked->outcome != SETTLE_WAITING) {
        question->verdict = settled_verdict(looked);
        question->starts_us = looked->starts_us;
        return SEAT_DECIDED;
    }
    return SEAT_AGAIN;
}

static int look(struct answers *answers, size_t count,
                struct ledger_cursor cursors[static PARTITION_COUNT]) {
    for (size_t i = 0; i < count; i++) {
        const struct question *question = answers->questions[i];
        answers->claims[i] = (struct settle_claim){
            .coupon_id = question->coupon_id,
            .user_id = question->user_id,
            .request_key = question->request_key,
            .claim_id = {question->name, CLAIM_NAME_SIZE},
            .admitted_us = question->refused_us, /* one clock judges, or they never agree */
        };
    }
    int status = ledger_cursors_read(answers->ledger, cursors);
    uint64_t session = ledger_session(answers->ledger);
    if (status == STATUS_OK) {
        status = ledger_look(answers->ledger, answers->claims, count, NULL);
    }
    /* else a crash may have taken back what the cursors say, and the look cannot tell */
    return status || ledger_session(answers->ledger) == session ? status : STATUS_IO;
}

static void answer(struct redis_issuer *issuer, size_t count) {
    struct answers *answers = &issuer->answers;
    struct ledger_cursor cursors[PARTITION_COUNT];
    struct question_list done = {0};
    int status = look(answers, count, cursors);
    atomic_store(&issuer->ledger_away, status != STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        struct question *question = answers->questions[i];
        unsigned partition = partition_of(question->coupon_id);
        question->answer =
            status ? SEAT_WAITS : answer_of(question, &answers->claims[i], &cursors[partition]);
        question_push(&done, question);
    }
    door_answered(issuer, &done);
}

/* ---- the thread ---- */

/* Waits for questions. 0: closed, and none are left. */
static size_t take(struct answers *answers) {
    size_t count = 0;
    pthread_mutex_lock(&answers->lock);
    while (!answers->asked.first && !answers->closed) {
        pthread_cond_wait(&answers->not_empty, &answers->lock);
    }
    while (count < SETTLE_CLAIMS_MAX && answers->asked.first) {
        answers->questions[count++] = question_pop(&answers->asked);
    }
    pthread_mutex_unlock(&answers->lock);
    return count;
}

static void *give_answers(void *context) {
    struct redis_issuer *issuer = context;
    size_t count;
    while ((count = take(&issuer->answers)) > 0) {
        answer(issuer, count);
    }
    ledger_close(issuer->answers.ledger, NULL);
    return NULL;
}

void answers_ask(struct redis_issuer *issuer, struct question_list *questions) {
    struct answers *answers = &issuer->answers;
    if (!questions->first) {
        return;
    }
    pthread_mutex_lock(&answers->lock);
    question_append(&answers->asked, questions);
    pthread_mutex_unlock(&answers->lock);
    pthread_cond_signal(&answers->not_empty);
}

int answers_start(struct redis_issuer *issuer, struct ledger *ledger) {
    struct answers *answers = &issuer->answers;
    answers->ledger = ledger;
    pthread_mutex_init(&answers->lock, NULL);
    pthread_cond_init(&answers->not_empty, NULL);
    if (pthread_create(&answers->thread, NULL, give_answers, issuer)) {
        ledger_close(ledger, NULL);
        return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

void answers_stop(struct redis_issuer *issuer) {
    struct answers *answers = &issuer->answers;
    pthread_mutex_lock(&answers->lock);
    answers->closed = true;
    pthread_mutex_unlock(&answers->lock);
    pthread_cond_signal(&answers->not_empty);
    pthread_join(answers->thread, NULL);
    pthread_mutex_destroy(&answers->lock);
    pthread_cond_destroy(&answers->not_empty);
}
