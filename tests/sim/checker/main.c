/* history-checker: judges logs of clients against a record.
 *
 *   history-checker [--shared] [--strangers] LOG... --record FILE [--record FILE ...]
 *
 * Logs and records are lines as log.h has them. Writes each violation, then a line of figures, to
 * standard output. Exit code 0: none; 1: violations; 2: wrong use, or a file that cannot be read.
 */
#include "log.h"

#include <stdio.h>

static void usage(void) {
    fprintf(stderr, "usage: history-checker [--shared] [--strangers] LOG... --record FILE\n");
}

static void print_violation(void *context, const struct history_violation *violation) {
    (void)context;
    printf("%s: coupon %llu: %s\n", history_code_name(violation->code),
           (unsigned long long)violation->coupon_id, violation->text);
}

/* False: wrong use. Options may stand anywhere. */
static bool read_options(int argc, char **argv, struct history_options *ret_options) {
    bool log = false;
    bool record = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--shared") == 0) {
            ret_options->shared = true;
        } else if (strcmp(argv[i], "--strangers") == 0) {
            ret_options->strangers = true;
        } else if (strcmp(argv[i], "--record") == 0) {
            record = ++i < argc;
            if (!record) {
                return false;
            }
        } else if (argv[i][0] == '-') {
            return false;
        } else {
            log = true;
        }
    }
    return log && record;
}

static int judge(struct history *history) {
    struct history_figures figures;
    if (history_check(history, print_violation, NULL, &figures)) {
        fprintf(stderr, "history-checker: not enough memory\n");
        return 2;
    }
    printf("%zu events, %zu claims, %zu issues, %zu violations, %zu undecided\n", figures.events,
           figures.claims, figures.issues, figures.violations, figures.undecided);
    return figures.violations ? 1 : 0;
}

int main(int argc, char **argv) {
    struct history_options options = {.shared = false};
    struct history *history = NULL;
    struct complaint complaint = {0};
    int status = STATUS_OK;
    if (!read_options(argc, argv, &options)) {
        usage();
        return 2;
    }
    if (history_new(&options, &history)) {
        fprintf(stderr, "history-checker: not enough memory\n");
        return 2;
    }
    for (int i = 1; i < argc && status == STATUS_OK; i++) {
        bool option = strncmp(argv[i], "--", 2) == 0;
        if (!option) {
            status = log_read(argv[i], history, &complaint);
        }
    }
    if (status < 0) {
        fprintf(stderr, "history-checker: %s\n", complaint.text);
    }
    int code = status < 0 ? 2 : judge(history);
    history_free(history);
    return code;
}
