/* Command lines and environment into values. See options.h. */
#include "cli/options.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/* --admin-token-file has COUPON_ADMIN_TOKEN_FILE. */
static const char *environment_of(const char *name) {
    if (*name == '\0') {
        return NULL;
    }
    char variable[64] = "COUPON_";
    size_t at = strlen(variable);
    for (; *name && at + 1 < sizeof(variable); name++) {
        char c = *name;
        variable[at++] = (char)(c == '-' ? '_' : c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
    variable[at] = '\0';
    const char *value = getenv(variable);
    return value && *value ? value : NULL;
}

/* The option of `--name` or `--name=value`, or the one that an argument without a dash, or a
 * dash alone, is. */
static const struct option_spec *find(const struct option_spec *specs, const char *argument) {
    struct slice name = {NULL, 0};
    if (argument[0] == '-' && argument[1] != '\0') {
        if (argument[1] != '-' || argument[2] == '\0') {
            return NULL;
        }
        name = (struct slice){argument + 2, strcspn(argument + 2, "=")};
        if (name.size == 0) {
            return NULL; /* "--=x" is no argument without a dash */
        }
    }
    for (; specs->name; specs++) {
        if (slice_is(name, specs->name)) {
            return specs;
        }
    }
    return NULL;
}

/* An option without a value is on or off, also where it was given one. */
static bool read_switches(const char *subcommand, const struct option_spec *specs,
                          const char **values) {
    for (size_t i = 0; specs[i].name; i++) {
        if (specs[i].value || !values[i] || strcmp(values[i], "1") == 0) {
            continue;
        }
        if (strcmp(values[i], "0") != 0) {
            fprintf(stderr, "coupon %s: --%s is 1 (on) or 0 (off), not \"%s\"\n", subcommand,
                    specs[i].name, values[i]);
            return false;
        }
        values[i] = NULL;
    }
    return true;
}

bool options_read(const char *subcommand, const struct option_spec *specs, int argc, char **argv,
                  const char **values, bool *ret_help) {
    *ret_help = false;
    for (size_t i = 0; specs[i].name; i++) {
        const char *value = environment_of(specs[i].name);
        values[i] = value ? value : specs[i].fallback;
    }
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            *ret_help = true;
            return false;
        }
        const struct option_spec *spec = find(specs, argv[i]);
        if (spec && !*spec->name && !values[spec - specs]) {
            values[spec - specs] = argv[i];
            continue;
        }
        if (!spec || !*spec->name) {
            /* Without what may follow its name: a URL with a password, in the wrong place. */
            fprintf(stderr, "coupon %s: unknown option %.*s; see coupon %s --help\n", subcommand,
                    (int)strcspn(argv[i], "=:"), argv[i], subcommand);
            return false;
        }
        const char *equals = strchr(argv[i], '=');
        if (!equals && !spec->value) {
            values[spec - specs] = "1";
            continue;
        }
        if (!equals && i + 1 == argc) {
            fprintf(stderr, "coupon %s: --%s needs a value (%s)\n", subcommand, spec->name,
                    spec->value);
            return false;
        }
        values[spec - specs] = equals ? equals + 1 : argv[++i];
    }
    return read_switches(subcommand, specs, values);
}

static size_t cover(char *text, size_t size) {
    memset(text, '*', size);
    return size;
}

/* Puts stars over the passwords of a URL; how many. One is between the name and the last '@', which
 * a password that nobody wrote as %40 may be part of; libpq takes some from behind a '?', too:
 * password and sslpassword. */
static size_t cover_passwords(char *text) {
    static const char option[] = "password=";
    char *begin = strstr(text, "://");
    if (!begin) {
        return 0;
    }
    begin += 3;
    size_t covered = 0;
    char *named = strstr(begin, option);
    char *end = named ? named : begin + strlen(begin);
    char *at = memrchr(begin, '@', (size_t)(end - begin));
    char *colon = at ? memchr(begin, ':', (size_t)(at - begin)) : NULL;
    if (colon) {
        covered += cover(colon + 1, (size_t)(at - colon) - 1);
    }
    while (named) {
        named += sizeof(option) - 1;
        covered += cover(named, strcspn(named, "&"));
        named = strstr(named, option);
    }
    return covered;
}

bool options_hide_passwords(int argc, char **argv) {
    for (int i = 0; i < argc; i++) {
        char *copy = strdup(argv[i]);
        if (!copy) {
            return false;
        }
        if (cover_passwords(argv[i]) > 0) {
            argv[i] = copy;
        } else {
            free(copy);
        }
    }
    return true;
}

void options_print(const struct option_spec *specs) {
    for (; specs->name; specs++) {
        char left[64];
        snprintf(left, sizeof(left), "%s%s%s%s", *specs->name ? "--" : "", specs->name,
                 *specs->name && specs->value ? " " : "", specs->value ? specs->value : "");
        printf("  %-26s %s", left, specs->help);
        if (specs->fallback) {
            printf(" [%s]", specs->fallback);
        }
        printf("\n");
    }
    printf("\nEvery option can be given in the environment: --data as COUPON_DATA; one that has no "
           "value\n"
           "as 1 (on) or 0 (off). The command line overrules it.\n");
}

bool option_number(const struct option_spec *spec, const char *value, uint64_t min, uint64_t max,
                   uint64_t *ret_number) {
    uint64_t number = 0;
    if (slice_to_u64(slice_of(value), max, &number) || number < min) {
        fprintf(stderr, "coupon: --%s must be a whole number from %llu to %llu, not \"%s\"\n",
                spec->name, (unsigned long long)min, (unsigned long long)max, value);
        return false;
    }
    *ret_number = number;
    return true;
}

static bool is_loopback(const char *host, bool *ret_loopback) {
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, host, &four) == 1) {
        *ret_loopback = ntohl(four.s_addr) >> 24 == 127;
        return true;
    }
    if (inet_pton(AF_INET6, host, &six) == 1) {
        *ret_loopback = IN6_IS_ADDR_LOOPBACK(&six);
        return true;
    }
    return false;
}

int option_listen(const char *text, char ret_host[static 64], uint16_t *ret_port,
                  bool *ret_loopback) {
    const char *colon = strrchr(text, ':');
    uint64_t port = 0;
    if (!colon || slice_to_u64(slice_of(colon + 1), UINT16_MAX, &port)) {
        return STATUS_INVALID;
    }
    struct slice host = {text, (size_t)(colon - text)};
    bool bracketed = host.size > 2 && text[0] == '[' && text[host.size - 1] == ']';
    if (bracketed) {
        host = (struct slice){text + 1, host.size - 2};
    } else if (slice_is(host, "localhost")) {
        host = slice_of("127.0.0.1");
    }
    bool has_colon = host.size > 0 && memchr(host.bytes, ':', host.size) != NULL;
    if (host.size == 0 || host.size >= 64 || has_colon != bracketed) {
        return STATUS_INVALID;
    }
    memcpy(ret_host, host.bytes, host.size);
    ret_host[host.size] = '\0';
    *ret_port = (uint16_t)port;
    return is_loopback(ret_host, ret_loopback) ? STATUS_OK : STATUS_INVALID;
}
