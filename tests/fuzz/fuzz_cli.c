/* Command lines: options, numbers, addresses to listen on. A line of the input is an argument.
 * What options_read says is held against a plain reading of the same arguments from the right:
 * the last value of an option counts. */
#include "cli/options.h"
#include "fuzz.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>

enum { ARGUMENTS_MAX = 24 };

/* A table as the subcommands have them: with a value, without one, and the argument itself. */
enum { DATA, LISTEN, QUIET, PLACE, COUNT };
static const struct option_spec specs[] = {
    [DATA] = {"data", "DIR", "a folder", "data"},
    [LISTEN] = {"listen", "ADDRESS:PORT", "where", "127.0.0.1:8080"},
    [QUIET] = {"quiet", NULL, "says less", NULL},
    [PLACE] = {"", "FILE", "an argument", NULL},
    [COUNT] = {NULL, NULL, NULL, NULL},
};

/* ---- options ---- */

/* The value that `argument` gives to the option, "" when it is the next argument; NULL: another. */
static const char *value_of(const char *argument, const struct option_spec *spec) {
    size_t size = strlen(spec->name);
    if (strncmp(argument, "--", 2) != 0 || strncmp(argument + 2, spec->name, size) != 0) {
        return NULL;
    }
    const char *rest = argument + 2 + size;
    return *rest == '=' ? rest + 1 : *rest == '\0' ? "" : NULL;
}

/* Which option an argument is for, or COUNT. */
static int option_of(const char *argument, const char **ret_value) {
    for (int i = DATA; i <= QUIET; i++) {
        *ret_value = value_of(argument, &specs[i]);
        if (*ret_value) {
            return i;
        }
    }
    return argument[0] != '-' || argument[1] == '\0' ? PLACE : COUNT;
}

/* False: help, or something is wrong. */
static bool naive_read(int argc, char **argv, const char **values) {
    values[DATA] = specs[DATA].fallback;
    values[LISTEN] = specs[LISTEN].fallback;
    values[QUIET] = values[PLACE] = NULL;
    for (int i = 0; i < argc; i++) {
        const char *value = NULL;
        int option = option_of(argv[i], &value);
        bool joined = strchr(argv[i], '=') != NULL;
        if (option == COUNT || (option == PLACE && values[PLACE])) {
            return false;
        }
        if (option == PLACE) {
            value = argv[i];
        } else if (option == QUIET && !joined) {
            value = "1";
        } else if (!joined) {
            value = ++i < argc ? argv[i] : NULL;
        }
        if (!value) {
            return false;
        }
        values[option] = value;
    }
    if (values[QUIET] && strcmp(values[QUIET], "0") == 0) {
        values[QUIET] = NULL;
    }
    return !values[QUIET] || strcmp(values[QUIET], "1") == 0;
}

static bool same(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Help is asked for by an argument of its own only, which another reading sees by this. */
static bool asks_help(int argc, char **argv) {
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            return true;
        }
    }
    return false;
}

static void check_options(int argc, char **argv) {
    const char *values[COUNT] = {0};
    const char *expected[COUNT] = {0};
    bool help = false;
    bool read = options_read("fuzz", specs, argc, argv, values, &help);
    assert(!(read && help));
    assert(!help || asks_help(argc, argv));
    if (asks_help(argc, argv)) {
        return; /* which comes first, help or what is wrong, is no promise */
    }
    assert(read == naive_read(argc, argv, expected));
    for (int i = 0; read && i < COUNT; i++) {
        assert(same(values[i], expected[i]));
    }
}

/* ---- values ---- */

static void check_number(const char *text) {
    uint64_t number = 0;
    char *end = NULL;
    unsigned long long expected = strtoull(text, &end, 10);
    bool plain = isdigit((unsigned char)text[0]) && *end == '\0' &&
                 (text[0] != '0' || text[1] == '\0') && strlen(text) < 19;
    bool taken = option_number(&specs[DATA], text, 3, 1000000, &number);
    assert(taken == (plain && expected >= 3 && expected <= 1000000));
    assert(number == (taken ? expected : 0));
}

static void check_listen(const char *text) {
    char host[64], again[96];
    unsigned char address[16];
    uint16_t port = 0;
    bool loopback = false;
    if (option_listen(text, host, &port, &loopback)) {
        return;
    }
    bool six = strchr(host, ':') != NULL;
    assert(inet_pton(six ? AF_INET6 : AF_INET, host, address) == 1);
    assert(loopback ==
           (six ? memcmp(address, &in6addr_loopback, sizeof(address)) == 0 : address[0] == 127));
    snprintf(again, sizeof(again), six ? "[%s]:%u" : "%s:%u", host, port);
    assert(strcmp(again, text) == 0 || strncmp(text, "localhost:", 10) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice input = {(const char *)data, size};
    char *arguments[ARGUMENTS_MAX + 1] = {0};
    int count = 0;
    while (input.size > 0 && count < ARGUMENTS_MAX) {
        arguments[count] = fuzz_terminated(fuzz_line(&input));
        check_number(arguments[count]);
        check_listen(arguments[count]);
        count++;
    }
    check_options(count, arguments);
    for (int i = 0; i < count; i++) {
        free(arguments[i]);
    }
    return 0;
}
