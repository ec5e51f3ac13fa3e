/* Hashes and streams: see redis_data.h. Keys and fields are few in a run, so they are looked for
 * one after the other; what is written stays in the run's memory. */
#include "sim/distributed/redis_data.h"

struct field {
    struct slice name;
    struct slice value;
};

struct entry {
    uint64_t n; /* of "<n>-0": no other ids are used */
    struct slice *words;
    size_t count;
};

struct key {
    struct slice name;
    bool is_stream;
    struct field *fields;
    size_t field_count;
    size_t field_capacity;
    struct entry *entries;
    size_t entry_count;
    size_t entry_capacity;
    uint64_t last_n; /* of a stream, also when it is empty */
};

struct redis_data {
    struct key *keys;
    size_t count;
    size_t capacity;
};

/* Room for one more of an array that grows. */
static void *grown(void *array, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity) {
        return array;
    }
    *capacity = *capacity ? 2 * *capacity : 8;
    void *larger = world_alloc(*capacity * size);
    if (count > 0) {
        memcpy(larger, array, count * size);
    }
    return larger;
}

/* ---- values ---- */

struct value value_integer(int64_t integer) {
    return (struct value){.type = VALUE_INTEGER, .integer = integer};
}

struct value value_text(struct slice text) {
    return (struct value){.type = VALUE_TEXT, .text = text};
}

struct value value_error(const char *text) {
    return (struct value){.type = VALUE_ERROR, .text = slice_of(text)};
}

struct value value_array(size_t count) {
    return (struct value){
        .type = VALUE_ARRAY, .elements = world_alloc(count * sizeof(struct value)), .count = count};
}

static const char WRONG_TYPE[] =
    "WRONGTYPE Operation against a key holding the wrong kind of value";
static const char WRONG_COUNT[] = "ERR wrong number of arguments";

/* ---- keys ---- */

static struct key *key_find(const struct redis_data *data, struct slice name) {
    for (size_t i = 0; i < data->count; i++) {
        if (slice_equal(data->keys[i].name, name)) {
            return &data->keys[i];
        }
    }
    return NULL;
}

static struct key *key_make(struct redis_data *data, struct slice name, bool is_stream) {
    struct key *key = key_find(data, name);
    if (!key) {
        data->keys = grown(data->keys, data->count, &data->capacity, sizeof(data->keys[0]));
        key = &data->keys[data->count++];
        *key = (struct key){.name = world_copy(name), .is_stream = is_stream};
    }
    return key;
}

static bool key_remove(struct redis_data *data, struct slice name) {
    struct key *key = key_find(data, name);
    if (key) {
        *key = data->keys[--data->count];
    }
    return key;
}

struct redis_data *redis_data_new(void) {
    return world_alloc(sizeof(struct redis_data));
}

struct redis_data *redis_data_copy(const struct redis_data *data) {
    struct redis_data *copy = redis_data_new();
    copy->count = copy->capacity = data->count;
    copy->keys = world_alloc(data->count * sizeof(copy->keys[0]));
    for (size_t i = 0; i < data->count; i++) {
        struct key *key = &copy->keys[i];
        *key = data->keys[i];
        key->fields = world_alloc(key->field_count * sizeof(key->fields[0]));
        key->field_capacity = key->field_count;
        key->entries = world_alloc(key->entry_count * sizeof(key->entries[0]));
        key->entry_capacity = key->entry_count;
        for (size_t f = 0; f < key->field_count; f++) {
            key->fields[f] = data->keys[i].fields[f];
        }
        for (size_t e = 0; e < key->entry_count; e++) {
            key->entries[e] = data->keys[i].entries[e];
        }
    }
    return copy;
}

struct slice redis_data_evict(struct redis_data *data) {
    if (data->count == 0) {
        return (struct slice){"", 0};
    }
    struct slice name = data->keys[random_below(dice(), data->count)].name;
    key_remove(data, name);
    return name;
}

/* ---- hashes ---- */

static struct field *field_find(const struct key *key, struct slice name) {
    for (size_t i = 0; key && i < key->field_count; i++) {
        if (slice_equal(key->fields[i].name, name)) {
            return &key->fields[i];
        }
    }
    return NULL;
}

static struct value field_value(const struct key *key, struct slice name) {
    const struct field *field = field_find(key, name);
    return field ? value_text(field->value) : (struct value){.type = VALUE_NIL};
}

static struct value run_hset(struct redis_data *data, const struct command_words *command) {
    int64_t added = 0;
    if (command->count < 4 || command->count % 2 != 0) {
        return value_error(WRONG_COUNT);
    }
    struct key *key = key_make(data, command->words[1], false);
    if (key->is_stream) {
        return value_error(WRONG_TYPE);
    }
    for (size_t i = 2; i < command->count; i += 2) {
        struct field *field = field_find(key, command->words[i]);
        if (!field) {
            key->fields =
                grown(key->fields, key->field_count, &key->field_capacity, sizeof(key->fields[0]));
            field = &key->fields[key->field_count++];
            field->name = world_copy(command->words[i]);
            added++;
        }
        field->value = world_copy(command->words[i + 1]);
    }
    return value_integer(added);
}

static struct value run_hget(struct redis_data *data, const struct command_words *command) {
    const struct key *key = key_find(data, command->words[1]);
    if (command->count != 3) {
        return value_error(WRONG_COUNT);
    }
    return key && key->is_stream ? value_error(WRONG_TYPE) : field_value(key, command->words[2]);
}

static struct value run_hmget(struct redis_data *data, const struct command_words *command) {
    const struct key *key = key_find(data, command->words[1]);
    if (command->count < 3) {
        return value_error(WRONG_COUNT);
    }
    if (key && key->is_stream) {
        return value_error(WRONG_TYPE);
    }
    struct value values = value_array(command->count - 2);
    for (size_t i = 0; i < values.count; i++) {
        values.elements[i] = field_value(key, command->words[2 + i]);
    }
    return values;
}

static struct value run_hdel(struct redis_data *data, const struct command_words *command) {
    struct key *key = key_find(data, command->words[1]);
    int64_t removed = 0;
    if (key && key->is_stream) {
        return value_error(WRONG_TYPE);
    }
    for (size_t i = 2; key && i < command->count; i++) {
        struct field *field = field_find(key, command->words[i]);
        if (field) {
            *field = key->fields[--key->field_count];
            removed++;
        }
    }
    if (key && key->field_count == 0) {
        key_remove(data, command->words[1]);
    }
    return value_integer(removed);
}

static struct value run_hlen(struct redis_data *data, const struct command_words *command) {
    const struct key *key = key_find(data, command->words[1]);
    return key && key->is_stream ? value_error(WRONG_TYPE)
                                 : value_integer(key ? (int64_t)key->field_count : 0);
}

static struct value run_del(struct redis_data *data, const struct command_words *command) {
    int64_t removed = 0;
    for (size_t i = 1; i < command->count; i++) {
        removed += key_remove(data, command->words[i]);
    }
    return value_integer(removed);
}

/* ---- streams ---- */

/* "<n>-0" */
static bool id_read(struct slice id, uint64_t *ret_n) {
    if (id.size < 3 || memcmp(id.bytes + id.size - 2, "-0", 2) != 0) {
        return false;
    }
    return slice_to_u64((struct slice){id.bytes, id.size - 2}, UINT64_MAX, ret_n) == STATUS_OK;
}

static struct value run_xadd(struct redis_data *data, const struct command_words *command) {
    uint64_t n;
    if (command->count < 5 || command->count % 2 == 0) {
        return value_error(WRONG_COUNT);
    }
    if (!id_read(command->words[2], &n)) {
        return value_error("ERR Invalid stream ID specified as stream command argument");
    }
    struct key *key = key_find(data, command->words[1]);
    if (key && !key->is_stream) {
        return value_error(WRONG_TYPE);
    }
    if (n == 0) {
        return value_error("ERR The ID specified in XADD must be greater than 0-0");
    }
    if (key && n <= key->last_n) {
        return value_error("ERR The ID specified in XADD is equal or smaller than the target "
                           "stream top item");
    }
    key = key_make(data, command->words[1], true);
    key->entries =
        grown(key->entries, key->entry_count, &key->entry_capacity, sizeof(key->entries[0]));
    struct entry *entry = &key->entries[key->entry_count++];
    *entry = (struct entry){.n = n, .count = command->count - 3};
    entry->words = world_alloc(entry->count * sizeof(entry->words[0]));
    for (size_t i = 0; i < entry->count; i++) {
        entry->words[i] = world_copy(command->words[3 + i]);
    }
    key->last_n = n;
    return value_text(world_copy(command->words[2]));
}

/* XTRIM key MINID = id; also MAXLEN = count. */
static struct value run_xtrim(struct redis_data *data, const struct command_words *command) {
    struct key *key = key_find(data, command->words[1]);
    uint64_t limit = 0;
    size_t kept = 0;
    if (command->count != 5 || !slice_is(command->words[3], "=")) {
        return value_error("ERR syntax error");
    }
    bool by_id = slice_is_nocase(command->words[2], "MINID");
    if (by_id ? !id_read(command->words[4], &limit)
              : slice_to_u64(command->words[4], UINT64_MAX, &limit) != STATUS_OK) {
        return value_error("ERR value is not an integer or out of range");
    }
    if (!key) {
        return value_integer(0);
    }
    if (!key->is_stream) {
        return value_error(WRONG_TYPE);
    }
    size_t before = key->entry_count;
    for (size_t i = 0; i < before; i++) {
        if (by_id ? key->entries[i].n >= limit : before - i <= limit) {
            key->entries[kept++] = key->entries[i];
        }
    }
    key->entry_count = kept;
    return value_integer((int64_t)(before - kept));
}

static struct value entry_value(const struct entry *entry) {
    struct value pair = value_array(2);
    pair.elements[0] = value_text(world_text("%llu-0", (unsigned long long)entry->n));
    pair.elements[1] = value_array(entry->count);
    for (size_t i = 0; i < entry->count; i++) {
        pair.elements[1].elements[i] = value_text(entry->words[i]);
    }
    return pair;
}

/* XRANGE key from + COUNT count, from being "-" or "(<n>-0". */
static struct value run_xrange(struct redis_data *data, const struct command_words *command) {
    const struct key *key = key_find(data, command->words[1]);
    uint64_t after = 0, most = 0;
    if (command->count != 6 || !slice_is(command->words[3], "+") ||
        slice_to_u64(command->words[5], UINT64_MAX, &most)) {
        return value_error("ERR syntax error");
    }
    struct slice from = command->words[2];
    if (!slice_is(from, "-") &&
        (from.bytes[0] != '(' || !id_read((struct slice){from.bytes + 1, from.size - 1}, &after))) {
        return value_error("ERR Invalid stream ID specified as stream command argument");
    }
    if (key && !key->is_stream) {
        return value_error(WRONG_TYPE);
    }
    size_t first = 0;
    while (key && first < key->entry_count && key->entries[first].n <= after) {
        first++;
    }
    size_t left = key ? key->entry_count - first : 0;
    struct value entries = value_array(left < most ? left : (size_t)most);
    for (size_t i = 0; i < entries.count; i++) {
        entries.elements[i] = entry_value(&key->entries[first + i]);
    }
    return entries;
}

static struct value run_xlen(struct redis_data *data, const struct command_words *command) {
    const struct key *key = key_find(data, command->words[1]);
    return key && !key->is_stream ? value_error(WRONG_TYPE)
                                  : value_integer(key ? (int64_t)key->entry_count : 0);
}

/* ---- commands ---- */

static const struct {
    const char *name;
    bool writes;
    struct value (*run)(struct redis_data *data, const struct command_words *command);
} commands[] = {
    {"hmget", false, run_hmget}, {"hset", true, run_hset},  {"xrange", false, run_xrange},
    {"hlen", false, run_hlen},   {"xlen", false, run_xlen}, {"hget", false, run_hget},
    {"xadd", true, run_xadd},    {"hdel", true, run_hdel},  {"xtrim", true, run_xtrim},
    {"del", true, run_del},      {"unlink", true, run_del},
};

bool command_is(const struct command_words *command, const char *name) {
    return slice_is_nocase(command->words[0], name);
}

bool command_writes(const struct command_words *command) {
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        if (command_is(command, commands[i].name)) {
            return commands[i].writes;
        }
    }
    return false;
}

struct value redis_data_run(struct redis_data *data, const struct command_words *command) {
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        if (command_is(command, commands[i].name)) {
            return command->count >= 2 ? commands[i].run(data, command) : value_error(WRONG_COUNT);
        }
    }
    return value_error("ERR unknown command");
}
