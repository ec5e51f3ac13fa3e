/* The judge of a run: see oracle.h.
 *
 * What it knows besides the ledger's rows: every entry that any Redis server ever took, by
 * partition, epoch and n, with its claims; and how each coupon stood, from COMMIT to COMMIT. */
#include "sim/distributed/oracle.h"

#include "sim/distributed/redis_servers.h"
#include "sim/distributed/trouble.h"

#include <stdarg.h>
#include <stdio.h>

struct queued {
    struct queued *next;
    unsigned partition;
    uint64_t epoch;
    uint64_t n;
    size_t claim_count;
    struct slice *claims; /* their ids */
    struct slice packed;
    bool settled;
    bool told_lost; /* of a claim in it */
    int64_t at_us;
};

/* A coupon from a COMMIT on. */
struct standing {
    int64_t from_us;
    int64_t told_us; /* a change: when its operator was; else from_us */
    uint32_t issued;
    struct coupon_revision terms;
};

struct standings {
    struct standing *list;
    size_t count;
    size_t capacity;
    bool holder_refused; /* where that was excused */
};

#define QUEUED_BUCKETS 512

static struct {
    size_t violations;
    char first[400];
    struct history *history;
    struct queued *queued[QUEUED_BUCKETS];
    struct standings standings[SQL_COUPONS_MAX];
    bool changed[PARTITION_COUNT]; /* an operator has begun an epoch there */
} world;

void oracle_violation(const char *format, ...) {
    char text[sizeof(world.first)];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (world.violations++ == 0) {
        memcpy(world.first, text, sizeof(text));
    }
    trace("VIOLATION %.300s", text);
}

size_t oracle_violations(void) {
    return world.violations;
}

const char *oracle_first(void) {
    return world.first;
}

struct history *oracle_history(void) {
    return world.history;
}

/* ---- how coupons stand ---- */

static struct standings *standings_of(const struct sql_coupon *coupon) {
    for (size_t i = 0; i < sql_server()->record.coupon_count; i++) {
        if (sql_server()->record.coupons[i] == coupon) {
            return &world.standings[i];
        }
    }
    assert(false && "a coupon of the server");
    return NULL;
}

static struct standing *standing_add(const struct sql_coupon *coupon, int64_t from_us) {
    struct standings *standings = standings_of(coupon);
    standings->list = sql_grown(standings->list, standings->count, 1, &standings->capacity,
                                sizeof(standings->list[0]));
    struct standing *standing = &standings->list[standings->count++];
    *standing = (struct standing){from_us, from_us, (uint32_t)coupon->issue_count,
                                  coupon->revisions[coupon->revision_count - 1]};
    return standing;
}

static bool is_sold_out(const struct standing *standing, int64_t from_us) {
    (void)from_us;
    return standing->terms.total_quantity != COUPON_UNLIMITED &&
           standing->issued >= standing->terms.total_quantity;
}

static bool is_paused(const struct standing *standing, int64_t from_us) {
    (void)from_us;
    return standing->terms.paused;
}

/* No clock is off by more than this. */
static const int64_t SKEW_US_MAX = 310000;

static int64_t realtime_of(int64_t world_us) {
    return realtime_us() - now_us() + world_us;
}

static bool is_not_started(const struct standing *standing, int64_t from_us) {
    return realtime_of(from_us) - SKEW_US_MAX < standing->terms.issue_start_us;
}

static bool is_ended(const struct standing *standing, int64_t from_us) {
    (void)from_us;
    return realtime_us() + SKEW_US_MAX >= standing->terms.issue_end_us;
}

/* A change that Redis could not be told of is heeded by all nodes a little later (docs/scaling.md,
 * "What is promised"): until then they may refuse by the terms before. */
static const int64_t STALE_US_MAX = 6 * US_PER_SECOND;

static int64_t stale_us(const struct sql_coupon *coupon) {
    bool may_be = coupon->revision_count > 1 && trouble_redis_may_be_deaf();
    return may_be ? STALE_US_MAX : 0;
}

/* Whether it was so at any moment from then to now. A change may be heeded before its operator is
 * told, and need not be. */
static bool was(const struct sql_coupon *coupon, int64_t from_us,
                bool (*is)(const struct standing *standing, int64_t from_us)) {
    const struct standings *standings = standings_of(coupon);
    from_us -= stale_us(coupon);
    for (size_t i = standings->count; i > 0; i--) {
        if (is(&standings->list[i - 1], from_us)) {
            return true;
        }
        if (standings->list[i - 1].told_us < from_us) {
            return false;
        }
    }
    return false;
}

/* ---- Redis ---- */

static struct queued **bucket_of(unsigned partition, uint64_t epoch, uint64_t n) {
    uint64_t hash = (partition * UINT64_C(1000003) + epoch) * UINT64_C(1000003) + n;
    return &world.queued[hash % QUEUED_BUCKETS];
}

static struct queued *queued_find(unsigned partition, uint64_t epoch, uint64_t n) {
    struct queued *queued = *bucket_of(partition, epoch, n);
    while (queued && (queued->partition != partition || queued->epoch != epoch || queued->n != n)) {
        queued = queued->next;
    }
    return queued;
}

/* "<size>:<bytes>", taken from the front. */
static struct slice packed_take(struct slice *packed) {
    const char *colon = memchr(packed->bytes, ':', packed->size);
    uint64_t size = 0;
    assert(colon);
    size_t digits = (size_t)(colon - packed->bytes);
    int status = slice_to_u64((struct slice){packed->bytes, digits}, packed->size, &size);
    assert(status == STATUS_OK);
    struct slice text = {colon + 1, (size_t)size};
    packed->bytes = text.bytes + text.size;
    packed->size -= digits + 1 + text.size;
    return text;
}

static void claims_read(struct queued *queued, struct slice packed) {
    size_t room = packed.size / 32 + 1; /* a claim id has so many bytes */
    queued->packed = world_copy(packed);
    queued->claims = world_alloc(room * sizeof(queued->claims[0]));
    struct slice rest = queued->packed;
    while (rest.size > 0) {
        assert(queued->claim_count < room);
        queued->claims[queued->claim_count++] = packed_take(&rest);
        packed_take(&rest);
        packed_take(&rest);
    }
}

/* XADD coupon:{pNN}:queue:<epoch> <n>-0 coupon … time_us … claims … */
void oracle_queued(const struct redis_server *server, const struct command_words *command) {
    struct slice key = command->words[1];
    struct slice id = command->words[2];
    struct queued *queued = world_alloc(sizeof(*queued));
    assert(key.size > 19 && command->count == 9);
    queued->partition = (unsigned)(key.bytes[9] - '0') * 10 + (unsigned)(key.bytes[10] - '0');
    int status =
        slice_to_u64((struct slice){key.bytes + 19, key.size - 19}, INT64_MAX, &queued->epoch);
    status |= slice_to_u64((struct slice){id.bytes, id.size - 2}, INT64_MAX, &queued->n);
    assert(status == STATUS_OK);
    const struct queued *before = queued_find(queued->partition, queued->epoch, queued->n);
    if (before) {
        oracle_violation("partition %u: position %llu of epoch %llu was given twice",
                         queued->partition, (unsigned long long)queued->n,
                         (unsigned long long)queued->epoch);
    }
    queued->at_us = now_us();
    claims_read(queued, command->words[8]);
    struct queued **bucket = bucket_of(queued->partition, queued->epoch, queued->n);
    queued->next = *bucket;
    *bucket = queued;
    trace("redis %u queues p%02u e%llu n%llu: %zu claims", server->number, queued->partition,
          (unsigned long long)queued->epoch, (unsigned long long)queued->n, queued->claim_count);
    bool over = queued->epoch < sql_server()->record.partitions[queued->partition].epoch;
    if (over && trouble_redis_keeps_all() && !world.changed[queued->partition]) {
        oracle_violation("partition %u: an admission to epoch %llu, which is over",
                         queued->partition, (unsigned long long)queued->epoch);
    }
}

/* ---- the ledger ---- */

void oracle_issued(const struct sql_coupon *coupon, const struct issue_row *row) {
    const struct coupon_record *terms = &coupon->record;
    size_t rank = row->reference.rank;
    trace("issued %llu-%zu to %.*s", (unsigned long long)terms->id, rank, (int)row->user_id.size,
          row->user_id.bytes);
    if (rank != coupon->issue_count) {
        oracle_violation("I4: rank %zu of coupon %llu follows rank %zu", rank,
                         (unsigned long long)terms->id, coupon->issue_count - 1);
    }
    if (sql_issue_of(coupon, row->user_id) != &coupon->issues[coupon->issue_count - 1]) {
        oracle_violation("I2: %.*s holds coupon %llu twice", (int)row->user_id.size,
                         row->user_id.bytes, (unsigned long long)terms->id);
    }
    if (terms->total_quantity != COUPON_UNLIMITED && (int64_t)rank > terms->total_quantity) {
        oracle_violation("I1: rank %zu of coupon %llu, of which there are %lld", rank,
                         (unsigned long long)terms->id, (long long)terms->total_quantity);
    }
    if (terms->paused || row->issued_at_us < terms->issue_start_us ||
        row->issued_at_us >= terms->issue_end_us) {
        oracle_violation("I5: rank %zu of coupon %llu was issued against its terms", rank,
                         (unsigned long long)terms->id);
    }
    if (rank >= 2 && coupon->issue_count >= 2 &&
        coupon->issues[coupon->issue_count - 2].row.issued_at_us > row->issued_at_us) {
        oracle_violation("I5: rank %zu of coupon %llu was issued before the one in front of it",
                         rank, (unsigned long long)terms->id);
    }
    standing_add(coupon, now_us());
}

static bool is_issued(struct slice claim_id) {
    for (size_t i = 0; i < sql_server()->record.coupon_count; i++) {
        const struct sql_coupon *coupon = sql_server()->record.coupons[i];
        for (size_t rank = coupon->issue_count; rank > 0; rank--) {
            if (slice_equal(coupon->issues[rank - 1].row.claim_id, claim_id)) {
                return true;
            }
        }
    }
    return false;
}

void oracle_rejected(const struct reject_record *reject) {
    trace("rejected p%02u e%llu n%llu %u: %s", reject->place.partition,
          (unsigned long long)reject->place.epoch, (unsigned long long)reject->place.n,
          reject->place.index, reject->reason);
    bool repeat = strcmp(reject->reason, settle_outcome_name(SETTLE_ALREADY_ISSUED)) == 0;
    if (!repeat && is_issued(slice_of(reject->claim_id))) {
        oracle_violation("claim %s was issued, and rejected: %s", reject->claim_id, reject->reason);
    }
    if (reject->raw_size > 0) {
        oracle_violation("an entry of our own could not be read: p%02u n%llu",
                         reject->place.partition, (unsigned long long)reject->place.n);
    }
}

void oracle_changed(const struct sql_coupon *coupon) {
    const struct coupon_revision *terms = &coupon->revisions[coupon->revision_count - 1];
    trace("coupon %llu is at version %u: of %lld, %s", (unsigned long long)terms->coupon_id,
          terms->version, (long long)terms->total_quantity, terms->paused ? "paused" : "open");
    world.changed[partition_of(terms->coupon_id)] = true;
    standing_add(coupon, now_us())->told_us = now_us() + STALE_US_MAX; /* or else sooner */
}

void oracle_change_told(uint64_t coupon_id, uint32_t version) {
    struct standings *standings = standings_of(sql_coupon_recorded(coupon_id));
    for (size_t i = standings->count; i > 0; i--) {
        struct standing *standing = &standings->list[i - 1];
        if (standing->terms.version == version && standing->told_us > now_us()) {
            standing->told_us = now_us();
        }
    }
}

static bool is_rejected(const struct queued *queued, size_t at) {
    for (size_t i = sql_server()->record.reject_count; i > 0; i--) {
        const struct reject_place *place = &sql_server()->record.rejects[i - 1].place;
        if (place->partition == queued->partition && place->epoch == queued->epoch &&
            place->n == queued->n && place->index == at) {
            return true;
        }
    }
    return false;
}

static void entry_settled(struct queued *queued) {
    queued->settled = true;
    if (queued->told_lost) {
        oracle_violation("partition %u: entry %llu of epoch %llu is settled, and was told lost",
                         queued->partition, (unsigned long long)queued->n,
                         (unsigned long long)queued->epoch);
    }
    for (size_t i = 0; i < queued->claim_count; i++) {
        if (!is_issued(queued->claims[i]) && !is_rejected(queued, i)) {
            oracle_violation("partition %u: entry %llu of epoch %llu is settled without claim %zu",
                             queued->partition, (unsigned long long)queued->n,
                             (unsigned long long)queued->epoch, i);
        }
    }
}

void oracle_cursor_moved(const struct ledger_cursor *before, const struct ledger_cursor *after) {
    trace("cursor p%02u e%llu %llu -> %llu", after->partition, (unsigned long long)after->epoch,
          (unsigned long long)before->n, (unsigned long long)after->n);
    if (before->epoch != after->epoch) {
        oracle_violation("partition %u is at epoch %llu, and was settled at %llu", after->partition,
                         (unsigned long long)before->epoch, (unsigned long long)after->epoch);
        return;
    }
    if (after->n <= before->n) {
        oracle_violation("partition %u: the cursor moved from %llu to %llu", after->partition,
                         (unsigned long long)before->n, (unsigned long long)after->n);
    }
    for (uint64_t n = before->n + 1; n <= after->n; n++) {
        struct queued *queued = queued_find(after->partition, after->epoch, n);
        if (queued) {
            entry_settled(queued);
        } else {
            oracle_violation("partition %u: entry %llu of epoch %llu was settled, never queued",
                             after->partition, (unsigned long long)n,
                             (unsigned long long)after->epoch);
        }
    }
}

/* What was admitted to the epoch that is over and is not settled never will be. */
void oracle_epoch_raised(const struct ledger_cursor *before, bool by_change) {
    trace("epoch p%02u %llu -> %llu at %llu%s", before->partition,
          (unsigned long long)before->epoch, (unsigned long long)before->epoch + 1,
          (unsigned long long)before->n, by_change ? ", by a change" : "");
    const struct queued *lost = queued_find(before->partition, before->epoch, before->n + 1);
    if (!lost) {
        return;
    }
    trouble_count(TROUBLE_ADMISSION_LOST);
    if (trouble_redis_keeps_all() && !by_change && !world.changed[before->partition]) {
        oracle_violation("partition %u: entry %llu of epoch %llu is lost, though Redis kept all",
                         before->partition, (unsigned long long)before->n + 1,
                         (unsigned long long)before->epoch);
    }
}

/* ---- answers ---- */

static bool has_row(const struct claim *claim, const struct sql_issue *issue) {
    return issue && issue->row.reference.rank == claim->rank &&
           issue->row.issued_at_us == claim->issued_at_us;
}

static void judge_success(const struct claim *claim, const struct sql_issue *issue,
                          int64_t asked_us) {
    if (!has_row(claim, issue)) {
        oracle_violation("I3: %.*s was told rank %u of coupon %llu, which no row has",
                         (int)claim->user_id.size, claim->user_id.bytes, claim->rank,
                         (unsigned long long)claim->coupon_id);
        return;
    }
    bool same_key =
        claim->request_key.size > 0 && slice_equal(issue->row.request_key, claim->request_key);
    if (claim->verdict == VERDICT_REPLAYED && !same_key) {
        oracle_violation("I7: %.*s was told a replay of another key's issue",
                         (int)claim->user_id.size, claim->user_id.bytes);
    }
    if (claim->verdict == VERDICT_ISSUED &&
        claim->issued_at_us < realtime_of(asked_us) - SKEW_US_MAX) {
        oracle_violation("I5: rank %u of coupon %llu is dated before it was asked for", claim->rank,
                         (unsigned long long)claim->coupon_id);
    }
}

/* A node that has not heard of an epoch yet, and reaches a Redis that has not either, does not know
 * who was issued one in it (docs/scaling.md, "What is promised"). */
static bool may_be_unheard_of(const struct sql_issue *issue, int64_t asked_us) {
    return trouble_redis_may_be_deaf() && issue->epoch_since_us > 0 &&
           issue->epoch_since_us >= asked_us - STALE_US_MAX;
}

static void judge_refusal(const struct claim *claim, const struct sql_coupon *coupon,
                          const struct sql_issue *issue, int64_t asked_us, const char *word,
                          bool is_true) {
    if (!is_true) {
        oracle_violation("%s: %.*s was told so of coupon %llu, and it never was since it asked",
                         word, (int)claim->user_id.size, claim->user_id.bytes,
                         (unsigned long long)coupon->record.id);
    }
    bool holds = issue && issue->committed_us < asked_us;
    standings_of(coupon)->holder_refused |= holds && may_be_unheard_of(issue, asked_us);
    if (holds && !may_be_unheard_of(issue, asked_us)) {
        oracle_violation("I7: %.*s holds rank %u of coupon %llu and was told %s",
                         (int)claim->user_id.size, claim->user_id.bytes, issue->row.reference.rank,
                         (unsigned long long)coupon->record.id, word);
    }
}

void oracle_answered(const struct claim *claim, int64_t asked_us) {
    const struct sql_coupon *coupon = sql_coupon_recorded(claim->coupon_id);
    const struct sql_issue *issue = sql_issue_of(coupon, claim->user_id);
    switch (claim->verdict) {
    case VERDICT_ISSUED:
    case VERDICT_REPLAYED:
    case VERDICT_ALREADY_ISSUED:
        judge_success(claim, issue, asked_us);
        return;
    case VERDICT_NO_SUCH_COUPON:
        judge_refusal(claim, coupon, issue, asked_us, "no such coupon", false);
        return;
    case VERDICT_PAUSED:
        judge_refusal(claim, coupon, issue, asked_us, "paused", was(coupon, asked_us, is_paused));
        return;
    case VERDICT_NOT_STARTED:
        judge_refusal(claim, coupon, issue, asked_us, "not started",
                      was(coupon, asked_us, is_not_started));
        return;
    case VERDICT_ENDED:
        judge_refusal(claim, coupon, issue, asked_us, "ended", was(coupon, asked_us, is_ended));
        return;
    case VERDICT_SOLD_OUT:
        judge_refusal(claim, coupon, issue, asked_us, "I6: sold out",
                      was(coupon, asked_us, is_sold_out));
        return;
    case VERDICT_ADMITTED:
        if (!queued_find(partition_of(claim->coupon_id), claim->queue_epoch, claim->queue_n)) {
            oracle_violation("a place was told that no queue had: e%llu n%llu",
                             (unsigned long long)claim->queue_epoch,
                             (unsigned long long)claim->queue_n);
        }
        return;
    case VERDICT_OVERLOADED:
    case VERDICT_STORAGE_UNAVAILABLE:
    case VERDICT_OUTCOME_UNKNOWN:
    case VERDICT_STARTING:
        return;
    }
}

/* What is settled was issued or has its reject. */
static void judge_lost(const struct command *command) {
    const struct reject_place *place = &command->place;
    struct queued *queued = queued_find(place->partition, place->epoch, place->n);
    if (queued) {
        queued->told_lost = true;
    }
    if (queued && queued->settled) {
        oracle_violation("the status of %.*s is lost, though entry %llu of epoch %llu was settled",
                         (int)command->user_id.size, command->user_id.bytes,
                         (unsigned long long)place->n, (unsigned long long)place->epoch);
    }
}

static void judge_refused(const struct command *command) {
    const struct reject_place *place = &command->place;
    const struct queued *queued = queued_find(place->partition, place->epoch, place->n);
    if (!queued || !is_rejected(queued, place->index)) {
        oracle_violation("the status of %.*s is refused, and the ledger has no such reject",
                         (int)command->user_id.size, command->user_id.bytes);
    }
}

void oracle_status(const struct command *command) {
    const struct sql_coupon *coupon = sql_coupon_recorded(command->reference.coupon_id);
    const struct sql_issue *issue = sql_issue_of(coupon, command->user_id);
    if (command->status != STATUS_OK) {
        return;
    }
    switch (command->standing) {
    case CLAIM_ISSUED:
        if (!issue || issue->row.reference.rank != command->issue.reference.rank) {
            oracle_violation("the status of %.*s is issued, rank %u, which no row has",
                             (int)command->user_id.size, command->user_id.bytes,
                             command->issue.reference.rank);
        }
        return;
    case CLAIM_LOST:
        judge_lost(command);
        return;
    case CLAIM_REFUSED:
        judge_refused(command);
        return;
    case CLAIM_PENDING:
        return;
    }
}

/* ---- the end ---- */

/* When all is well; who has it locked and sleeps is ended by the server after five. */
static const int64_t SETTLED_WITHIN_US = 6 * US_PER_SECOND;

void oracle_all_settled(void) {
    for (size_t i = 0; i < QUEUED_BUCKETS; i++) {
        for (const struct queued *queued = world.queued[i]; queued; queued = queued->next) {
            const struct sql_partition *partition =
                &sql_server()->record.partitions[queued->partition];
            if (partition->epoch == queued->epoch && partition->n < queued->n &&
                queued->at_us < now_us() - SETTLED_WITHIN_US) {
                oracle_violation("partition %u: entry %llu of epoch %llu was never settled",
                                 queued->partition, (unsigned long long)queued->n,
                                 (unsigned long long)queued->epoch);
            }
        }
    }
}

/* What the history's judge knows no tolerance for is judged as it is told. */
static bool is_tolerable(const struct history_violation *violation) {
    const struct sql_coupon *coupon = sql_coupon_recorded(violation->coupon_id);
    if (violation->code == HISTORY_HOLDER_REFUSED && trouble_redis_may_be_deaf()) {
        return true; /* judge_refusal() knows since when */
    }
    bool terms =
        violation->code == HISTORY_SOLD_OUT_UNTRUE || violation->code == HISTORY_PAUSED_UNTRUE ||
        violation->code == HISTORY_NOT_STARTED_UNTRUE || violation->code == HISTORY_ENDED_UNTRUE ||
        violation->code == HISTORY_CONTRADICTION;
    return terms && coupon && (stale_us(coupon) > 0 || standings_of(coupon)->holder_refused);
}

static void on_found(void *context, const struct history_violation *violation) {
    (void)context;
    if (is_tolerable(violation)) {
        return;
    }
    oracle_violation("history: %s: %.250s", history_code_name(violation->code), violation->text);
}

static int record_add(struct history *history) {
    int status = STATUS_OK;
    for (size_t i = 0; i < sql_server()->record.coupon_count; i++) {
        const struct sql_coupon *coupon = sql_server()->record.coupons[i];
        status |= history_record_coupon(history, &coupon->record);
        for (size_t k = 0; k < coupon->revision_count; k++) {
            status |= history_record_revision(history, &coupon->revisions[k]);
        }
        for (size_t k = 0; k < coupon->issue_count; k++) {
            status |= history_record_issue(history, &coupon->issues[k].row);
        }
    }
    return status;
}

size_t oracle_end(void) {
    int status = record_add(world.history);
    if (status == STATUS_OK) {
        status = history_check(world.history, on_found, NULL, NULL);
    }
    if (status < 0) {
        oracle_violation("the history could not be judged: %s", status_name(status));
    }
    history_free(world.history);
    world.history = NULL;
    return world.violations;
}

void oracle_begin(void) {
    memset(&world, 0, sizeof(world));
    int status = history_new(&(struct history_options){.shared = true}, &world.history);
    assert(status == STATUS_OK);
    for (size_t i = 0; i < sql_server()->record.coupon_count; i++) {
        standing_add(sql_server()->record.coupons[i], 0);
    }
}
