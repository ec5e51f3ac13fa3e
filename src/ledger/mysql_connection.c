/* The connection of the MariaDB and MySQL ledger: made at the opening and again by the first
 * call after it was lost. Each time the session is set up the same way, and the server is
 * asked whether it keeps what it confirms (I3): a server that was restarted may have other
 * settings, or be another one. For the other mysql_ files. */
#include "ledger/mysql_ledger.h"

#include <errmsg.h>
#include <stdio.h>
#include <stdlib.h>

#define RETRY_PAUSE_FIRST_US (US_PER_SECOND / 50)
#define RETRY_PAUSE_MAX_US   US_PER_SECOND

/* What is left for a statement beside its rows, in a packet of the size the server takes. */
#define PACKET_RESERVE 1024
/* The longest other statement: an audit whose request is quoted byte by byte. */
#define PACKET_SIZE_MIN (32 * 1024)
/* About what a large batch of claims takes. */
#define STATEMENT_SIZE_MAX (256 * 1024)

static unsigned seconds_of(int64_t time_us) {
    return (unsigned)((time_us + US_PER_SECOND - 1) / US_PER_SECOND);
}

/* ---- settings of the session ---- */

static int statement_send(struct mysql_ledger *ledger) {
    uint64_t changed;
    return ledger->statement.failed ? STATUS_NO_MEMORY
                                    : maria_send(ledger, buffer_view(&ledger->statement), &changed);
}

int maria_idle_set(struct mysql_ledger *ledger, int64_t idle_us) {
    /* MySQL limits idle sessions only, with a transaction or without. */
    buffer_clear(&ledger->statement);
    buffer_format(&ledger->statement, "SET SESSION %s = %u",
                  ledger->is_mariadb ? "idle_transaction_timeout" : "wait_timeout",
                  seconds_of(idle_us));
    return statement_send(ledger);
}

/* What a session needs, whatever this server's defaults are. */
static int session_set(struct mysql_ledger *ledger) {
    unsigned lock = seconds_of(ledger->options.lock_timeout_us);
    buffer_clear(&ledger->statement);
    buffer_format(&ledger->statement,
                  "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',"
                  " autocommit = 1, completion_type = 'NO_CHAIN', foreign_key_checks = 1,"
                  " unique_checks = 1, innodb_lock_wait_timeout = %u, lock_wait_timeout = %u%s",
                  lock, lock, ledger->is_mariadb ? ", check_constraint_checks = 1" : "");
    int status = statement_send(ledger);
    if (status == STATUS_OK) {
        status = maria_idle_set(ledger, ledger->options.idle_timeout_us);
    }
    if (status == STATUS_OK) {
        status = maria_send_text(
            ledger, ledger->options.existing_only
                        ? "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY"
                        : "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE");
    }
    return status;
}

/* ---- what the server promises ---- */

struct server_setting {
    const char *name;
    const char *wanted;      /* for the complaint */
    const char *accepted[4]; /* as SHOW VARIABLES tells it, in any case */
    bool durability;         /* weak_durability lets it pass */
    const char *only_with;   /* ON / 1 of this one; NULL: always */
    const char *why;
};

/* clang-format off */
static const struct server_setting server_settings[] = {
    {"innodb_flush_log_at_trx_commit", "1", {"1"}, true, NULL,
     "a commit is confirmed before it is on the disk"},
    {"innodb_doublewrite", "ON", {"ON", "1", "DETECT_AND_RECOVER"}, true, NULL,
     "a page that a power cut tears cannot be mended"},
    {"innodb_flush_method", "O_DIRECT or fsync",
     {"O_DIRECT", "fsync", "O_DSYNC", "O_DIRECT_NO_FSYNC"}, true, NULL,
     "data is left to the operating system"},
    {"sync_binlog", "1", {"1"}, true, "log_bin",
     "after a power cut the binary log and the tables may differ"},
    {"binlog_format", "ROW or MIXED", {"ROW", "MIXED"}, false, "log_bin",
     "READ COMMITTED cannot be written to it"},
};
/* clang-format on */

/* The value of a variable among the rows, "" when this server has none of this name. */
static void variable_copy(struct mysql_rows *rows, const char *name, char ret_value[64]) {
    ret_value[0] = '\0';
    mysql_data_seek(rows->result, 0);
    while (maria_rows_next(rows)) {
        struct slice key = {rows->row[0], rows->sizes[0]};
        if (slice_is(key, name) && rows->row[1]) {
            snprintf(ret_value, 64, "%s", rows->row[1]);
            return;
        }
    }
}

static bool setting_holds(struct mysql_rows *rows, const struct server_setting *setting,
                          char ret_value[64]) {
    if (setting->only_with) {
        variable_copy(rows, setting->only_with, ret_value);
        if (!slice_is_nocase(slice_of(ret_value), "on") && !slice_is(slice_of(ret_value), "1")) {
            return true;
        }
    }
    variable_copy(rows, setting->name, ret_value);
    for (size_t i = 0; i < COUNT_OF(setting->accepted) && setting->accepted[i]; i++) {
        if (strcasecmp(ret_value, setting->accepted[i]) == 0) {
            return true;
        }
    }
    return ret_value[0] == '\0'; /* what it does not have it cannot have turned off */
}

/* Keeps I3. Who writes nothing need not mind. */
static int settings_check(struct mysql_ledger *ledger, struct mysql_rows *rows,
                          struct complaint *complaint) {
    if (ledger->options.existing_only) {
        return STATUS_OK;
    }
    for (size_t i = 0; i < COUNT_OF(server_settings); i++) {
        const struct server_setting *setting = &server_settings[i];
        char value[64];
        bool excused = setting->durability && ledger->options.weak_durability;
        if (!excused && !setting_holds(rows, setting, value)) {
            return complain(complaint, STATUS_INVALID, "%s has %s = %s: %s; set it to %s%s",
                            ledger->name, setting->name, value, setting->why, setting->wanted,
                            setting->durability ? ", or accept it with --allow-weak-durability"
                                                : "");
        }
    }
    return STATUS_OK;
}

/* A replica would let an administrator's account write, and lose it. */
static int primary_check(struct mysql_ledger *ledger, struct mysql_rows *rows,
                         struct complaint *complaint) {
    char value[64];
    variable_copy(rows, "read_only", value);
    if (ledger->options.existing_only || strcasecmp(value, "OFF") == 0 || strcmp(value, "0") == 0) {
        return STATUS_OK;
    }
    return complain(complaint, STATUS_INVALID,
                    "%s has read_only = %s, as a replica has; name the primary", ledger->name,
                    value);
}

static int packet_check(struct mysql_ledger *ledger, struct mysql_rows *rows,
                        struct complaint *complaint) {
    char value[64];
    variable_copy(rows, "max_allowed_packet", value);
    uint64_t size = 0;
    if (slice_to_u64(slice_of(value), SIZE_MAX, &size) < 0 || size < PACKET_SIZE_MIN) {
        return complain(complaint, STATUS_INVALID,
                        "%s has max_allowed_packet = %s; set it to %d or more", ledger->name, value,
                        PACKET_SIZE_MIN);
    }
    ledger->statement_size_max =
        size < STATEMENT_SIZE_MAX ? size - PACKET_RESERVE : STATEMENT_SIZE_MAX;
    return STATUS_OK;
}

static int server_check(struct mysql_ledger *ledger, struct complaint *complaint) {
    struct mysql_rows rows;
    int status = maria_query_text(
        ledger,
        slice_of("SHOW VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit',"
                 " 'innodb_doublewrite', 'innodb_flush_method', 'log_bin', 'sync_binlog',"
                 " 'binlog_format', 'max_allowed_packet', 'read_only')"),
        &rows);
    if (status < 0) {
        return maria_fail(ledger, status, "read the settings of", complaint);
    }
    status = settings_check(ledger, &rows, complaint);
    if (status == STATUS_OK) {
        status = primary_check(ledger, &rows, complaint);
    }
    if (status == STATUS_OK) {
        status = packet_check(ledger, &rows, complaint);
    }
    maria_rows_done(&rows);
    return status;
}

/* CHECKs are enforced since MySQL 8.0.16; a CREATE TABLE is whole or not there since MariaDB
 * 10.6 and MySQL 8.0. */
static int release_check(struct mysql_ledger *ledger, struct complaint *complaint) {
    unsigned long release = mysql_get_server_version(ledger->connection);
    if (release >= (ledger->is_mariadb ? 100600UL : 80016UL)) {
        return STATUS_OK;
    }
    return complain(complaint, STATUS_INVALID,
                    "%s is %s %s; it must be MariaDB 10.6, MySQL 8.0.16, or newer", ledger->name,
                    ledger->is_mariadb ? "MariaDB" : "MySQL",
                    mysql_get_server_info(ledger->connection));
}

/* ---- the session before ---- */

/* Runs a SELECT of one integer; NULL is -1. */
static int integer_query(struct mysql_ledger *ledger, const char *text, int64_t *ret_value) {
    struct mysql_rows rows;
    int status = maria_query_text(ledger, slice_of(text), &rows);
    if (status == STATUS_OK) {
        status = maria_rows_next(&rows)
                     ? maria_optional_decode(&rows, 0, 0, INT64_MAX, -1, ret_value)
                     : STATUS_IO;
        maria_rows_done(&rows);
    }
    return status;
}

/* A session of ours that lost its client may still be at work, and commit. Every session
 * holds a lock of the ledger's own name; the server gives it back when the session has ended,
 * its transaction included. So: end who holds it, and wait for it. */
static int session_before_end(struct mysql_ledger *ledger, struct complaint *complaint) {
    char text[128];
    int64_t holder = -1;
    int64_t taken = 0;
    snprintf(text, sizeof(text), "SELECT IS_USED_LOCK('%s')", ledger->session_lock);
    int status = integer_query(ledger, text, &holder);
    if (status == STATUS_OK && holder >= 0) {
        snprintf(text, sizeof(text), "KILL CONNECTION %lld", (long long)holder);
        status = maria_send_text(ledger, text);
        if (ledger->connection) {
            status = STATUS_OK; /* it has ended by itself meanwhile */
        }
    }
    if (status == STATUS_OK) {
        snprintf(text, sizeof(text), "SELECT GET_LOCK('%s', %u)", ledger->session_lock,
                 seconds_of(ledger->options.connect_timeout_us));
        status = integer_query(ledger, text, &taken);
    }
    if (status < 0) {
        return maria_fail(ledger, status, "begin a session with", complaint);
    }
    return taken == 1
               ? STATUS_OK
               : complain(complaint, STATUS_IO,
                          "%s has not ended the session before yet; try again", ledger->name);
}

/* ---- connecting ---- */

/* Before connecting. What the file of options says, which is read for a password that the URL
 * leaves out, comes on top of it. */
static int options_set(const struct mysql_ledger *ledger, MYSQL *connection) {
    const struct mysql_url *url = &ledger->url;
    unsigned connect = seconds_of(ledger->options.connect_timeout_us);
    unsigned statement = seconds_of(ledger->options.statement_timeout_us);
    unsigned tcp = MYSQL_PROTOCOL_TCP;
    unsigned no = 0;
    my_bool encrypt = url->tls != MYSQL_TLS_OFF;
    my_bool verify = url->tls == MYSQL_TLS_VERIFIED;
    const struct {
        enum mysql_option option;
        const void *value;
        bool wanted;
    } options[] = {
        {MYSQL_OPT_CONNECT_TIMEOUT, &connect, true},
        {MYSQL_OPT_READ_TIMEOUT, &statement, true},
        {MYSQL_OPT_WRITE_TIMEOUT, &statement, true},
        {MYSQL_OPT_LOCAL_INFILE, &no, true}, /* no server asks for our files */
        /* else "localhost" would be a socket of the library's choice, whatever the port */
        {MYSQL_OPT_PROTOCOL, &tcp, url->socket == NULL},
        {MYSQL_SET_CHARSET_NAME, "utf8mb4", true},
        {MYSQL_OPT_SSL_ENFORCE, &encrypt, encrypt},
        {MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify, encrypt},
        {MYSQL_OPT_SSL_CA, url->tls_ca, url->tls_ca != NULL},
        {MYSQL_READ_DEFAULT_GROUP, "client", url->password == NULL},
    };
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        if (options[i].wanted &&
            mysql_optionsv(connection, options[i].option, options[i].value) != 0) {
            return STATUS_NO_MEMORY;
        }
    }
    return STATUS_OK;
}

/* ER_ACCESS_DENIED_ERROR, ER_DBACCESS_DENIED_ERROR, ER_BAD_DB_ERROR, ER_CON_COUNT_ERROR */
static const char *connect_advice(unsigned error) {
    switch (error) {
    case 1045:
        return "; is it this user's password, and may the user come from this machine?";
    case 1044:
        return "; GRANT ALL ON the database TO the user";
    case 1049:
        return "; CREATE DATABASE it first";
    case 1040:
        return "; raise max_connections, or end other sessions";
    case CR_SSL_CONNECTION_ERROR:
        return "; does the server encrypt, is its certificate for this name, and does ca in the "
               "URL name who signed it?";
    case CR_CONNECTION_ERROR:
    case CR_CONN_HOST_ERROR:
    case CR_UNKNOWN_HOST:
    case CR_SERVER_LOST:
        return "; is the server up, and is this its address?";
    default:
        return "";
    }
}

static int connect_failed(struct mysql_ledger *ledger, MYSQL *connection,
                          struct complaint *complaint) {
    unsigned error = mysql_errno(connection);
    return complain(complaint,
                    error == CR_OUT_OF_MEMORY ? STATUS_NO_MEMORY
                    : error == 1049           ? STATUS_NOT_FOUND
                    : error == 1044 || error == 1045 || error == CR_SSL_CONNECTION_ERROR
                        ? STATUS_INVALID
                        : STATUS_IO,
                    "cannot connect to %s: %s (%u)%s", ledger->name, mysql_error(connection), error,
                    connect_advice(error));
}

/* The library goes on without encryption when the server has none. */
static int encryption_check(struct mysql_ledger *ledger, struct complaint *complaint) {
    if (ledger->url.tls == MYSQL_TLS_OFF || mysql_get_ssl_cipher(ledger->connection)) {
        return STATUS_OK;
    }
    return complain(complaint, STATUS_INVALID,
                    "%s does not encrypt; give the server a certificate, or leave tls out",
                    ledger->name);
}

static int connect_once(struct mysql_ledger *ledger, struct complaint *complaint) {
    const struct mysql_url *url = &ledger->url;
    MYSQL *connection = mysql_init(NULL);
    if (!connection || options_set(ledger, connection) < 0) {
        mysql_close(connection);
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory to connect");
    }
    if (!mysql_real_connect(connection, url->host, url->user, url->password, url->database,
                            url->port, url->socket, 0)) {
        int status = connect_failed(ledger, connection, complaint);
        mysql_close(connection);
        return status;
    }
    /* Not behind our back: a transaction would go on in a session that has none of our settings. */
    my_bool no = 0;
    mysql_optionsv(connection, MYSQL_OPT_RECONNECT, &no);
    ledger->connection = connection;
    ledger->ledger.sessions++;
    ledger->ledger.shows_unsynced = !ledger->options.existing_only; /* or it makes no barrier */
    ledger->is_mariadb = mariadb_connection(connection);
    return STATUS_OK;
}

/* What a connection must go through before a call may use it. */
static int session_begin(struct mysql_ledger *ledger, struct complaint *complaint) {
    int status = encryption_check(ledger, complaint);
    if (status == STATUS_OK) {
        status = release_check(ledger, complaint);
    }
    if (status == STATUS_OK) {
        status = session_before_end(ledger, complaint);
    }
    if (status == STATUS_OK) {
        status = session_set(ledger);
        if (status < 0) {
            return maria_fail(ledger, status, "set up a session with", complaint);
        }
        status = server_check(ledger, complaint);
    }
    return status;
}

int maria_connect(struct mysql_ledger *ledger, struct complaint *complaint) {
    assert(!ledger->connection);
    ledger->lost = false;
    int status = connect_once(ledger, complaint);
    if (status == STATUS_OK) {
        status = session_begin(ledger, complaint);
        if (status < 0) {
            maria_disconnect(ledger);
        }
    }
    return status;
}

/* Which version the tables have may have changed while we were away. */
static int version_check(struct mysql_ledger *ledger, struct complaint *complaint) {
    uint32_t version = 0;
    int status = maria_version_read(ledger, &version, complaint);
    if (status == STATUS_OK && version != MYSQL_LEDGER_VERSION) {
        status = complain(complaint, STATUS_IO, "%s has tables of version %u now, not of %u",
                          ledger->name, version, MYSQL_LEDGER_VERSION);
    }
    return status;
}

int maria_connect_again(struct mysql_ledger *ledger, struct complaint *complaint) {
    if (ledger->connection) {
        return STATUS_OK;
    }
    int64_t now_us = clock_monotonic_us();
    if (now_us < ledger->retry_at_us) {
        return complain(complaint, STATUS_IO, "%s", ledger->retry_complaint.text);
    }
    struct complaint why = {""};
    int status = maria_connect(ledger, &why);
    if (status == STATUS_OK) {
        status = version_check(ledger, &why);
    }
    if (status == STATUS_OK) {
        ledger->retry_pause_us = 0;
        return STATUS_OK;
    }
    maria_disconnect(ledger);
    ledger->retry_pause_us = ledger->retry_pause_us == 0 ? RETRY_PAUSE_FIRST_US
                             : ledger->retry_pause_us * 2 < RETRY_PAUSE_MAX_US
                                 ? ledger->retry_pause_us * 2
                                 : RETRY_PAUSE_MAX_US;
    ledger->retry_at_us = clock_monotonic_us() + ledger->retry_pause_us;
    ledger->retry_complaint = why;
    return complain(complaint, status == STATUS_NO_MEMORY ? status : STATUS_IO, "%s", why.text);
}

void maria_disconnect(struct mysql_ledger *ledger) {
    mysql_close(ledger->connection); /* takes NULL */
    ledger->connection = NULL;
    ledger->in_transaction = false;
}
