/* options: command lines and environment into values. Not for: what the values mean. Internal
 * to cli/: called by the subcommands. */
#ifndef COUPON_CLI_OPTIONS_H
#define COUPON_CLI_OPTIONS_H

#include "base/base.h"

/* Exit codes of every subcommand. */
enum { EXIT_CODE_OK = 0, EXIT_CODE_FAILED = 1, EXIT_CODE_USAGE = 2, EXIT_CODE_BROKEN = 3 };

/* One option of a subcommand; a table of them ends with name NULL. --data has the
 * environment variable COUPON_DATA, which the command line overrules. */
struct option_spec {
    const char *name;  /* without dashes; "": the one argument that is no option */
    const char *value; /* what stands for the value in the help; NULL: it has none, and is "1" when
                          on, NULL when off */
    const char *help;
    const char *fallback; /* NULL: none */
};

/* Fills values[i] for specs[i] (pointers into argv, the environment or the table). Returns
 * false after it has written what is wrong, or (with *ret_help) when help was asked for. */
bool options_read(const char *subcommand, const struct option_spec *specs, int argc, char **argv,
                  const char **values, bool *ret_help);
void options_print(const struct option_spec *specs);

/* Puts copies into argv, and stars for passwords of URLs where they were: what `ps` shows to
 * everybody on the machine. False: not enough memory. The copies last as long as the process. */
bool options_hide_passwords(int argc, char **argv);

/* A whole number from min to max, or false after a message that names the option. */
bool option_number(const struct option_spec *spec, const char *value, uint64_t min, uint64_t max,
                   uint64_t *ret_number);

/* "127.0.0.1:8080", "[::1]:8080" or "localhost:8080". STATUS_INVALID. */
int MUST_CHECK option_listen(const char *text, char ret_host[static 64], uint16_t *ret_port,
                             bool *ret_loopback);

/* ---- the subcommands: each returns an exit code ---- */

int command_serve(int argc, char **argv);
int command_verify(int argc, char **argv);
int command_export(int argc, char **argv);
int command_backup(int argc, char **argv);
int command_import(int argc, char **argv);
int command_worker(int argc, char **argv);
int command_rejects(int argc, char **argv);
int command_rebuild(int argc, char **argv);

#endif
