/* Named places at which a test can end the process, as a power cut or kill -9 does: FAILPOINT in
 * base.h. Built only with the option `failpoints`; not for anything that serves.
 *
 * COUPON_FAILPOINT=NAME:COUNT:DESCRIPTOR kills the process when it comes to NAME for the COUNT-th
 * time; that it did, it says before on the descriptor, which it was started with. Without the
 * variable nothing happens. */
#include "base/base.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_uint_fast64_t reached; /* of the one name that is asked for */

static void die_here(uint64_t descriptor) {
    if (write((int)descriptor, "hit", 3) == 3) {
        kill(getpid(), SIGKILL);
    }
    _exit(137); /* a process that may not send signals */
}

void failpoint_reach(const char *name) {
    const char *wanted = getenv("COUPON_FAILPOINT");
    struct slice rest = {wanted, wanted ? strlen(wanted) : 0};
    struct slice part;
    uint64_t count;
    uint64_t descriptor;
    if (!wanted || url_part_take(&rest, ":", &part) != ':' || !slice_is(part, name) ||
        url_part_take(&rest, ":", &part) != ':' || slice_to_u64(part, INT32_MAX, &count) ||
        slice_to_u64(rest, INT32_MAX, &descriptor)) {
        return;
    }
    if (atomic_fetch_add(&reached, 1) + 1 == count) {
        die_here(descriptor);
    }
}
