/* GET /metrics: every figure as text that Prometheus reads (its text format 0.0.4). What
 * each means for an operator is in docs/metrics.md; a new one needs its line there.
 *
 * Not for: counting (figures.c, the issuer's writer, http's loops). Called by route.c. All
 * that is read here was published by its counting thread; nobody is stopped for a scrape. */
#include "api/call.h"
#include "api/process.h"

#include <stdio.h>

/* Coupons with figures of their own: each costs whoever keeps the figures two series. */
enum { COUPONS_TOLD_MAX = 1000 };

static const char *const verdict_names[] = {
    [VERDICT_ISSUED] = "issued",
    [VERDICT_REPLAYED] = "replayed",
    [VERDICT_ALREADY_ISSUED] = "already-issued",
    [VERDICT_NO_SUCH_COUPON] = "coupon-not-found",
    [VERDICT_PAUSED] = "paused",
    [VERDICT_NOT_STARTED] = "not-started",
    [VERDICT_ENDED] = "ended",
    [VERDICT_SOLD_OUT] = "sold-out",
    [VERDICT_ADMITTED] = "admitted",
    [VERDICT_OVERLOADED] = "overloaded",
    [VERDICT_STORAGE_UNAVAILABLE] = "storage-unavailable",
    [VERDICT_OUTCOME_UNKNOWN] = "outcome-unknown",
    [VERDICT_STARTING] = "starting",
};
_Static_assert(COUNT_OF(verdict_names) == VERDICT_COUNT, "every verdict has its name");

static const char *const state_names[] = {
    [ISSUER_STARTING] = "starting",     [ISSUER_READY] = "ready",
    [ISSUER_UNWRITABLE] = "unwritable", [ISSUER_BROKEN] = "broken",
    [ISSUER_STOPPING] = "stopping",
};

/* ---- lines ---- */

static void family(struct buffer *text, const char *name, const char *type, const char *help) {
    buffer_format(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* `labels` with their braces, or "". */
static void sample(struct buffer *text, const char *name, const char *labels, uint64_t value) {
    buffer_text(text, name);
    buffer_text(text, labels);
    buffer_text(text, " ");
    buffer_u64(text, value);
    buffer_text(text, "\n");
}

/* A family of one sample. */
static void figure(struct buffer *text, const char *name, const char *type, uint64_t value,
                   const char *help) {
    family(text, name, type, help);
    sample(text, name, "", value);
}

static void figure_seconds(struct buffer *text, const char *name, const char *type, int64_t us,
                           const char *help) {
    family(text, name, type, help);
    buffer_format(text, "%s %.6f\n", name, (double)us / (double)US_PER_SECOND);
}

/* `label` is one label, as result="issued", or "". */
static void histogram(struct buffer *text, const char *name, const char *label,
                      const struct histogram_reading *reading) {
    double unit = reading->bounds == &histogram_durations ? (double)US_PER_SECOND : 1;
    const char *comma = label[0] ? "," : "";
    char labels[64] = "";
    uint64_t count = 0;
    for (size_t i = 0; i < reading->bounds->count; i++) {
        count += reading->counts[i];
        buffer_format(text, "%s_bucket{%s%sle=\"%g\"} %llu\n", name, label, comma,
                      (double)reading->bounds->values[i] / unit, (unsigned long long)count);
    }
    count += reading->counts[reading->bounds->count];
    buffer_format(text, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, label, comma,
                  (unsigned long long)count);
    if (label[0]) {
        snprintf(labels, sizeof(labels), "{%s}", label);
    }
    buffer_format(text, "%s_sum%s %.6f\n%s_count%s %llu\n", name, labels,
                  (double)reading->sum / unit, name, labels, (unsigned long long)count);
}

/* ---- families ---- */

static void tell_state(struct buffer *text, const struct api *api) {
    enum issuer_state state = issuer_state(api->issuer);
    family(text, "coupon_build_info", "gauge", "1; the label tells the version.");
    sample(text, "coupon_build_info", "{version=\"" COUPON_VERSION "\"}", 1);
    family(text, "coupon_state", "gauge", "1 for the state the server is in, 0 for the others.");
    for (size_t i = 0; i < COUNT_OF(state_names); i++) {
        char labels[64];
        snprintf(labels, sizeof(labels), "{state=\"%s\"}", state_names[i]);
        sample(text, "coupon_state", labels, (size_t)state == i);
    }
}

static void tell_claims(struct buffer *text, struct api *api) {
    uint64_t claims[VERDICT_COUNT] = {0};
    struct histogram_reading issued = {0};
    struct histogram_reading refused = {0};
    for (unsigned i = 0; i < api->loop_count; i++) {
        const struct loop_figures *figures = &api->loops[i].figures;
        for (size_t verdict = 0; verdict < VERDICT_COUNT; verdict++) {
            claims[verdict] += counter_read(&figures->claims[verdict]);
        }
        histogram_read(&figures->issued_us, &issued);
        histogram_read(&figures->refused_us, &refused);
    }
    family(text, "coupon_claims_total", "counter", "Claims answered, by what they were told.");
    for (size_t verdict = 0; verdict < VERDICT_COUNT; verdict++) {
        char labels[64];
        snprintf(labels, sizeof(labels), "{verdict=\"%s\"}", verdict_names[verdict]);
        sample(text, "coupon_claims_total", labels, claims[verdict]);
    }
    family(text, "coupon_claim_duration_seconds", "histogram",
           "From a claim's handing over to the writer until its answer was written. issued: "
           "durable by then.");
    histogram(text, "coupon_claim_duration_seconds", "result=\"issued\"", &issued);
    histogram(text, "coupon_claim_duration_seconds", "result=\"refused\"", &refused);
}

/* A family by itself, where this way to run counts it. */
static void whole_histogram(struct buffer *text, const char *name,
                            const struct histogram_reading *reading, const char *help) {
    if (reading->bounds) {
        family(text, name, "histogram", help);
        histogram(text, name, "", reading);
    }
}

static void tell_queue(struct buffer *text, const struct queue_figures *queue) {
    if (!queue->present) {
        return;
    }
    figure(text, "coupon_redis_waiting_entries", "gauge", queue->waiting,
           "Entries in Redis that are not settled yet, of all nodes.");
    figure_seconds(text, "coupon_redis_oldest_seconds", "gauge", queue->oldest_us,
                   "How long the first of them has waited.");
    figure(text, "coupon_redis_gates_open", "gauge", queue->gates_open,
           "Partitions that admit claims, of 64; one opens with its first claim.");
    figure(text, "coupon_redis_admitted_total", "counter", queue->admitted,
           "Claims that this node had admitted.");
    figure(text, "coupon_redis_questions", "gauge", queue->questions,
           "Claims that the SQL server is being asked about.");
    figure(text, "coupon_redis_asked_again_total", "counter", queue->asked_again,
           "Claims that had to be admitted anew, as after a rebuild.");
    figure(text, "coupon_redis_late_total", "counter", queue->late,
           "Claims answered 202 at their deadline.");
    figure(text, "coupon_redis_rebuilds_total", "counter", queue->rebuilt,
           "Partitions that this node opened anew.");
    figure(text, "coupon_rejects", "gauge", queue->rejects,
           "Admitted claims that the ledger refused, kept in coupon_rejects.");
}

static void tell_writer(struct buffer *text, const struct issuer_figures *figures) {
    whole_histogram(text, "coupon_batch_claims", &figures->step_claims, "Claims decided together.");
    whole_histogram(text, "coupon_commit_rows", &figures->commit_rows,
                    "Issues written by one commit.");
    whole_histogram(text, "coupon_commit_duration_seconds", &figures->commit_us,
                    "Deciding, writing and syncing the claims of one commit.");
    whole_histogram(text, "coupon_checkpoint_duration_seconds", &figures->checkpoint_us,
                    "Folding the write-ahead log into the file, between commits.");
    figure(text, "coupon_commit_failures_total", "counter", figures->commit_failures,
           "Commits of claims that failed; their claims were told so.");
    figure(text, "coupon_queue_claims", "gauge", figures->queue_depth,
           "Claims that wait for the writer.");
    figure_seconds(text, "coupon_clock_held_back_seconds", "gauge", figures->clock_held_back_us,
                   "How far the machine's clock is behind the newest issue.");
    figure(text, "coupon_engine_memory_bytes", "gauge", figures->memory_bytes,
           "Memory for issues and their index.");
    figure(text, "coupon_coupons", "gauge", figures->coupons, "Coupons that are not archived.");
    figure(text, "coupon_issues", "gauge", figures->issues, "Issues of the coupons in memory.");
}

static void sample_coupon(struct buffer *text, const char *name, uint64_t coupon_id,
                          uint64_t value) {
    char labels[40];
    snprintf(labels, sizeof(labels), "{coupon=\"%llu\"}", (unsigned long long)coupon_id);
    sample(text, name, labels, value);
}

static void tell_coupons(struct buffer *text, const struct api *api, uint64_t coupon_count) {
    struct coupon_quantities coupons[COUPONS_TOLD_MAX];
    size_t count = issuer_quantities(api->issuer, 0, COUNT_OF(coupons), coupons);
    family(text, "coupon_coupon_issued", "gauge", "Issued of this coupon and durable.");
    for (size_t i = 0; i < count; i++) {
        sample_coupon(text, "coupon_coupon_issued", coupons[i].coupon_id,
                      coupons[i].issued_quantity);
    }
    family(text, "coupon_coupon_remaining", "gauge",
           "Left of this coupon; absent when it is unlimited.");
    for (size_t i = 0; i < count; i++) {
        int64_t left = coupons[i].total_quantity - (int64_t)coupons[i].issued_quantity;
        if (coupons[i].total_quantity != COUPON_UNLIMITED) {
            /* the two are read a moment apart, and a change may lie between */
            sample_coupon(text, "coupon_coupon_remaining", coupons[i].coupon_id,
                          left > 0 ? (uint64_t)left : 0);
        }
    }
    figure(text, "coupon_coupons_left_out", "gauge",
           coupon_count > count ? coupon_count - count : 0,
           "Coupons without figures of their own: the 1,000 lowest ids have them.");
}

static void tell_http(struct buffer *text, const struct api *api) {
    const struct http_server *server = atomic_load(&api->server);
    if (!server) {
        return;
    }
    struct http_figures figures = http_server_figures(server);
    figure(text, "coupon_http_connections_open", "gauge", figures.connections_open,
           "Connections open now.");
    figure(text, "coupon_http_connections_accepted_total", "counter", figures.connections_accepted,
           "Connections accepted.");
    figure(text, "coupon_http_connections_turned_away_total", "counter",
           figures.connections_turned_away, "Connections closed at once for want of descriptors.");
    figure(text, "coupon_http_requests_total", "counter", figures.requests,
           "Requests whose head was read.");
}

static void tell_process(struct buffer *text, const struct api *api) {
    struct process_figures figures;
    process_read(&figures);
    figure_seconds(text, "process_cpu_seconds_total", "counter", figures.cpu_us,
                   "User and system time of all threads.");
    figure(text, "process_resident_memory_bytes", "gauge", figures.resident_bytes,
           "Memory in use, of the whole process.");
    figure(text, "process_open_fds", "gauge", figures.open_descriptors,
           "Open files, sockets included.");
    figure(text, "process_max_fds", "gauge", figures.descriptors_max, "As many files may be open.");
    figure_seconds(text, "process_start_time_seconds", "gauge", api->started_us,
                   "When the process started, in seconds since 1970.");
}

void handle_metrics(struct call *call, const struct http_head *head, struct slice body) {
    struct api *api = call->loop->api;
    struct issuer_figures figures = issuer_figures(api->issuer);
    struct buffer *text = reply_body(call);
    (void)head;
    (void)body;
    tell_state(text, api);
    tell_claims(text, api);
    tell_writer(text, &figures);
    tell_queue(text, &figures.queue);
    tell_coupons(text, api, figures.coupons);
    tell_http(text, api);
    tell_process(text, api);
    if (text->failed) {
        problem_reply(call, PROBLEM_OVERLOADED, "No memory to write the answer.");
        return;
    }
    struct http_response response = {
        .status = 200,
        .content_type = "text/plain; version=0.0.4; charset=utf-8",
        .body = buffer_view(text),
    };
    http_reply(call->exchange, &response);
}
