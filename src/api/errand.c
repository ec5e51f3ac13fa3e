/* A command on its way to the issuer and back. Called by the handlers of operators' calls
 * and reads. */
#include "api/call.h"

#include <stdlib.h>

void errand_free(struct errand *errand) {
    free(errand->command.coupons);
    free(errand->command.issues);
    free(errand->command.audits);
    free(errand->request);
    free(errand->command.holdings);
    free(errand);
}

void errand_refuse(struct errand *errand) {
    struct call *call = errand->call;
    errand_free(errand);
    problem_reply(call, PROBLEM_OVERLOADED, "No memory for this request.");
}

static void errand_answer(struct job *job) {
    struct errand *errand = (struct errand *)job;
    errand->answer(errand);
    errand_free(errand);
}

struct errand *errand_new(struct call *call, enum job_kind kind, void (*answer)(struct errand *)) {
    struct errand *errand = calloc(1, sizeof(*errand));
    if (!errand) {
        problem_reply(call, PROBLEM_OVERLOADED, "No memory for this request.");
        return NULL;
    }
    errand->parcel = (struct parcel){.loop = call->loop, .answer = errand_answer};
    errand->command.job = (struct job){.kind = kind, .done = inbox_put, .context = &errand->parcel};
    errand->command.user_id = call_user_id(call);
    errand->command.key.key = call_request_key(call);
    errand->command.reference = call->reference;
    errand->command.place = call->place;
    errand->call = call;
    errand->answer = answer;
    return errand;
}

void errand_send(struct errand *errand) {
    struct call *call = errand->call;
    struct issuer *issuer = call->loop->api->issuer;
    if (issuer_state(issuer) == ISSUER_STARTING) {
        problem_reply(call, PROBLEM_STARTING, "The server is reading its record.");
        errand_free(errand);
        return;
    }
    int status = issuer_submit(issuer, &errand->command.job);
    if (status) {
        problem_reply(call, PROBLEM_OVERLOADED,
                      status == STATUS_FULL ? "Too many requests are waiting."
                                            : "The server is stopping.");
        errand_free(errand);
    }
}
