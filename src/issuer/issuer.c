/* The issuer's calls, handed to whichever way to run was started. For the api and cli. */
#include "issuer/issuer.h"

int issuer_submit(struct issuer *issuer, struct job *job) {
    assert(job->done);
    return issuer->operations->submit(issuer, job);
}

struct digest issuer_user_digest(const struct issuer *issuer, struct slice user_id) {
    return issuer->operations->user_digest(issuer, user_id);
}

enum issuer_state issuer_state(const struct issuer *issuer) {
    return issuer->operations->state(issuer);
}

int issuer_coupon(const struct issuer *issuer, uint64_t coupon_id,
                  struct coupon_record *ret_coupon) {
    return issuer->operations->coupon(issuer, coupon_id, ret_coupon);
}

size_t issuer_quantities(const struct issuer *issuer, uint64_t after_id, size_t limit,
                         struct coupon_quantities *ret_quantities) {
    return issuer->operations->quantities(issuer, after_id, limit, ret_quantities);
}

struct issuer_figures issuer_figures(const struct issuer *issuer) {
    return issuer->operations->figures(issuer);
}

void issuer_hurry(struct issuer *issuer) {
    issuer->operations->hurry(issuer);
}

int issuer_stop(struct issuer *issuer, struct complaint *complaint) {
    return issuer->operations->stop(issuer, complaint);
}

void issuer_free(struct issuer *issuer) {
    if (issuer) {
        issuer->operations->free(issuer);
    }
}
