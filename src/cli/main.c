/* coupon: the program. Finds the subcommand; each lives in a file of its name. Not
 * for: anything a subcommand does. */
#include "cli/memory.h"
#include "cli/options.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} subcommands[] = {
    {"serve", command_serve},     {"worker", command_worker},   {"verify", command_verify},
    {"export", command_export},   {"import", command_import},   {"backup", command_backup},
    {"rejects", command_rejects}, {"rebuild", command_rebuild},
};

static void print_help(void) {
    printf("coupon " COUPON_VERSION ": first come, first served coupons, exact and durable\n"
           "\n"
           "usage: coupon SUBCOMMAND [options]\n"
           "\n"
           "  serve     issue coupons over HTTP, recorded in one SQLite file or SQL server\n"
           "  worker    settle what waits in Redis in the SQL ledger\n"
           "  verify    check every issue in the record against the promises\n"
           "  export    write the issues of a data folder or a server as CSV or NDJSON\n"
           "  import    give issues of a coupon to the users of a CSV file\n"
           "  backup    copy the record of a data folder, also while its server runs\n"
           "  rejects   list, drop or retry claims that the SQL ledger refused after Redis\n"
           "  rebuild   begin the queues of Redis anew, by hand\n"
           "  version   print the version\n"
           "  help      print this\n"
           "\n"
           "coupon SUBCOMMAND --help tells its options.\n"
           "\n"
           "A first try:\n"
           "  coupon serve --data data\n");
}

static int command_version(void) {
    printf("coupon " COUPON_VERSION "\n");
    return EXIT_CODE_OK;
}

static bool is_any(const char *text, const char *a, const char *b, const char *c) {
    return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

/* A descriptor below 3 that whoever started us has closed would be the next one opened, and lines
 * of the log would go into it. */
static bool open_standard_descriptors(void) {
    int descriptor;
    do {
        descriptor = open("/dev/null", O_RDWR);
    } while (descriptor >= 0 && descriptor <= STDERR_FILENO);
    return descriptor >= 0 && close(descriptor) == 0;
}

int main(int argc, char **argv) {
    if (!open_standard_descriptors()) {
        return EXIT_CODE_FAILED;
    }
    memory_begin();
    if (argc < 2) {
        print_help();
        return EXIT_CODE_USAGE;
    }
    if (!options_hide_passwords(argc, argv)) {
        fprintf(stderr, "coupon: not enough memory\n");
        return EXIT_CODE_FAILED;
    }
    for (size_t i = 0; i < COUNT_OF(subcommands); i++) {
        if (strcmp(argv[1], subcommands[i].name) == 0) {
            return subcommands[i].run(argc - 2, argv + 2);
        }
    }
    if (is_any(argv[1], "version", "--version", "-V")) {
        return command_version();
    }
    if (is_any(argv[1], "help", "--help", "-h")) {
        print_help();
        return EXIT_CODE_OK;
    }
    fprintf(stderr, "coupon: there is no subcommand \"%s\"; see coupon help\n", argv[1]);
    return EXIT_CODE_USAGE;
}
