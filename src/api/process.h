/* process: this process as the operating system sees it, for /metrics. Internal to api/. */
#ifndef COUPON_API_PROCESS_H
#define COUPON_API_PROCESS_H

#include "base/base.h"

struct process_figures {
    int64_t cpu_us;
    uint64_t resident_bytes;
    uint64_t open_descriptors;
    uint64_t descriptors_max;
};

/* What cannot be read is 0. Any thread; takes some tens of microseconds. */
void process_read(struct process_figures *ret_figures);

#endif
