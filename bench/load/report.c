/* report: adds up what the workers counted and tells it as one line of JSON. See load.h. */
#include "load/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name;
    unsigned per_100000;
} percentiles[] = {
    {"p50", 50000}, {"p90", 90000}, {"p99", 99000}, {"p99.9", 99900}, {"p99.99", 99990}};

struct sum {
    struct status_count statuses[STATUSES_MAX];
    size_t status_count;
    struct latency all;
    uint64_t taken;
    uint64_t answered;
    uint64_t broken;
    int64_t late_us_max;
    int64_t last_answer_us;
};

struct status_count *status_count_of(struct status_count *statuses, size_t *count, int status) {
    size_t at = 0;
    while (at < *count && statuses[at].status != status) {
        at++;
    }
    if (at == STATUSES_MAX) {
        return NULL;
    }
    *count += at == *count;
    statuses[at].status = status;
    return &statuses[at];
}

static void add_worker(struct sum *sum, const struct worker *worker) {
    for (size_t i = 0; i < worker->status_count; i++) {
        const struct status_count *count = &worker->statuses[i];
        struct status_count *total =
            status_count_of(sum->statuses, &sum->status_count, count->status);
        if (total) {
            latency_merge(&total->latency, &count->latency);
            latency_merge(&sum->all, &count->latency);
        }
    }
    sum->taken += worker->taken;
    sum->answered += worker->answered;
    sum->broken += worker->broken;
    sum->late_us_max =
        worker->late_us_max > sum->late_us_max ? worker->late_us_max : sum->late_us_max;
    sum->last_answer_us =
        worker->last_answer_us > sum->last_answer_us ? worker->last_answer_us : sum->last_answer_us;
}

static void latency_append(struct buffer *text, const struct latency *latency) {
    buffer_format(text, "{\"count\":%" PRIu64, latency->count);
    for (size_t i = 0; i < COUNT_OF(percentiles); i++) {
        buffer_format(text, ",\"%s\":%" PRIu64, percentiles[i].name,
                      latency_percentile(latency, percentiles[i].per_100000));
    }
    buffer_format(text, ",\"max\":%" PRIu64 "}", latency->max_us);
}

/* A run that was stopped is told by what it began; else what was never begun has failed, too. */
static void report_append(struct buffer *text, const struct plan *plan, const struct sum *sum,
                          double client_cpu_s) {
    uint64_t requests = plan->planned && !workers_stopped() ? plan->planned : sum->taken;
    double seconds = (double)(sum->last_answer_us - plan->start_us) / 1e6;
    buffer_format(text,
                  "{\"mode\":\"%s\",\"requests\":%" PRIu64 ",\"seconds\":%.6f,\"failed\":%" PRIu64
                  ",\"broken\":%" PRIu64 ",\"status\":{",
                  plan->mode->name, requests, seconds, requests - sum->answered, sum->broken);
    for (size_t i = 0; i < sum->status_count; i++) {
        buffer_format(text, "%s\"%d\":%" PRIu64, i ? "," : "", sum->statuses[i].status,
                      sum->statuses[i].latency.count);
    }
    buffer_text(text, "},\"latency_us\":{\"all\":");
    latency_append(text, &sum->all);
    for (size_t i = 0; i < sum->status_count; i++) {
        buffer_format(text, ",\"%d\":", sum->statuses[i].status);
        latency_append(text, &sum->statuses[i].latency);
    }
    buffer_format(text, "},\"client_cpu_s\":%.6f", client_cpu_s);
    if (plan->mode == &mode_rate) {
        buffer_format(text, ",\"rate\":%" PRIu64 ",\"late_us_max\":%" PRIi64, plan->rate,
                      sum->late_us_max);
    }
    buffer_text(text, "}\n");
}

int report_print(const struct plan *plan, const struct worker *workers, double client_cpu_s) {
    struct buffer text = {0};
    struct sum *sum = calloc(1, sizeof(*sum));
    if (!sum) {
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < plan->threads; i++) {
        add_worker(sum, &workers[i]);
    }
    report_append(&text, plan, sum, client_cpu_s);
    free(sum);
    int status = text.failed ? STATUS_NO_MEMORY : STATUS_OK;
    if (status == STATUS_OK) {
        fwrite(text.bytes, 1, text.size, stdout);
    }
    buffer_done(&text);
    return status;
}
