/* Chooses the store by the scheme of its URL. For serve, verify, export and the tools, which
 * take --ledger URL, and for the contract's tests; not for the default, a data folder. */
#include "ledger/ledger.h"

/* What follows the prefix, or NULL when the text does not begin with it. */
static const char *after(const char *text, const char *prefix) {
    size_t size = strlen(prefix);
    return strncmp(text, prefix, size) == 0 ? text + size : NULL;
}

int ledger_open_url(const struct ledger_sql_options *options, struct ledger **ret_ledger,
                    struct complaint *complaint) {
    const char *url = options->url;
    assert(url && ret_ledger);
    if (after(url, "postgresql://") || after(url, "postgres://")) {
        return ledger_postgres_open(options, ret_ledger, complaint);
    }
    if (after(url, "mysql://") || after(url, "mariadb://")) {
        return ledger_mysql_open(options, ret_ledger, complaint);
    }
    const char *directory = after(url, "sqlite:");
    if (directory && directory[0] != '\0') {
        struct ledger_sqlite_options sqlite = {.directory = directory,
                                               .existing_only = options->existing_only};
        return ledger_sqlite_open(&sqlite, ret_ledger, complaint);
    }
    /* The text is not repeated: whatever it is, a password may be in it. */
    return complain(complaint, STATUS_INVALID,
                    "a ledger's URL begins with postgresql://, mysql:// or mariadb://, or is "
                    "sqlite:DIRECTORY");
}
