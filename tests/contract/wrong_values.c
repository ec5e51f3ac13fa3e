#include "wrong_values.h"

#include <endian.h>
#include <libpq-fe.h>
#include <mysql.h>
#include <stdint.h>
#include <string.h>

#define LONG_SIZE    5000
#define COLUMNS_MAX  64
#define TYPE_INTEGER 20 /* PostgreSQL's int8 */

static struct {
    enum wrong_value wrong;
    unsigned left; /* values until it is wrong; 0: none will be */
    bool reached;
} armed;

const char *wrong_value_name(enum wrong_value wrong) {
    static const char *const names[WRONG_COUNT] = {"null", "long", "small"};
    return names[wrong];
}

void wrong_values_arm(enum wrong_value wrong, unsigned nth) {
    armed.wrong = wrong;
    armed.left = nth;
    armed.reached = false;
}

bool wrong_values_disarm(void) {
    armed.left = 0;
    return armed.reached;
}

static bool is_due(enum wrong_value wrong) {
    bool due = armed.wrong == wrong && armed.left > 0 && --armed.left == 0;
    armed.reached = armed.reached || due;
    return due;
}

/* ---- PostgreSQL: each question about a value counts ---- */

int __real_PQgetisnull(const PGresult *result, int row, int column);
int __wrap_PQgetisnull(const PGresult *result, int row, int column);
int __wrap_PQgetisnull(const PGresult *result, int row, int column) {
    return is_due(WRONG_NULL) ? 1 : __real_PQgetisnull(result, row, column);
}

int __real_PQgetlength(const PGresult *result, int row, int column);
int __wrap_PQgetlength(const PGresult *result, int row, int column);
int __wrap_PQgetlength(const PGresult *result, int row, int column) {
    return is_due(WRONG_LONG) ? LONG_SIZE : __real_PQgetlength(result, row, column);
}

char *__real_PQgetvalue(const PGresult *result, int row, int column);
char *__wrap_PQgetvalue(const PGresult *result, int row, int column);
char *__wrap_PQgetvalue(const PGresult *result, int row, int column) {
    static uint64_t small;
    small = htobe64((uint64_t)INT64_MIN + 1);
    bool number = PQfformat(result, column) == 1 && PQftype(result, column) == TYPE_INTEGER;
    return number && is_due(WRONG_SMALL) ? (char *)&small : __real_PQgetvalue(result, row, column);
}

/* ---- MariaDB and MySQL: each value of a row that is fetched counts ---- */

static struct {
    char *values[COLUMNS_MAX];
    unsigned long sizes[COLUMNS_MAX];
    bool changed; /* the row that was fetched last is this one */
} row;

MYSQL_ROW __real_mysql_fetch_row(MYSQL_RES *result);
MYSQL_ROW __wrap_mysql_fetch_row(MYSQL_RES *result);
unsigned long *__real_mysql_fetch_lengths(MYSQL_RES *result);
unsigned long *__wrap_mysql_fetch_lengths(MYSQL_RES *result);

static bool change(MYSQL_RES *result, unsigned column) {
    static char longest[LONG_SIZE + 1]; /* terminated, as the library's are */
    static char small[] = "-9223372036854775808";
    if (armed.wrong == WRONG_SMALL && !IS_NUM(mysql_fetch_field_direct(result, column)->type)) {
        return false;
    }
    if (!is_due(armed.wrong)) {
        return false;
    }
    memset(longest, 'x', LONG_SIZE);
    char *values[WRONG_COUNT] = {NULL, longest, small};
    unsigned long sizes[WRONG_COUNT] = {0, LONG_SIZE, sizeof(small) - 1};
    row.values[column] = values[armed.wrong];
    row.sizes[column] = sizes[armed.wrong];
    return true;
}

MYSQL_ROW __wrap_mysql_fetch_row(MYSQL_RES *result) {
    MYSQL_ROW real = __real_mysql_fetch_row(result);
    unsigned count = mysql_num_fields(result);
    row.changed = false;
    if (!real || armed.left == 0 || count > COLUMNS_MAX) {
        return real;
    }
    memcpy(row.values, real, count * sizeof(row.values[0]));
    memcpy(row.sizes, __real_mysql_fetch_lengths(result), count * sizeof(row.sizes[0]));
    for (unsigned column = 0; column < count; column++) {
        row.changed |= change(result, column);
    }
    return row.changed ? row.values : real;
}

unsigned long *__wrap_mysql_fetch_lengths(MYSQL_RES *result) {
    return row.changed ? row.sizes : __real_mysql_fetch_lengths(result);
}
