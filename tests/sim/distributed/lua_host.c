/* Lua and Redis' own library for it: see lua_host.h. Values are turned into each other as Redis
 * 7.0 documents it ("Redis Lua API", data type conversion). */
#include "sim/distributed/lua_host.h"

#include "sim/distributed/oracle.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>

#define FUNCTIONS_MAX 16

static struct {
    lua_State *lua;
    struct {
        char name[64];
        int callback; /* in Lua's registry */
        unsigned flags;
    } functions[FUNCTIONS_MAX];
    size_t function_count;
    struct redis_server *server; /* whose call is running */
} host;

/* ---- from Redis to Lua ---- */

static void push_field_text(lua_State *lua, const char *name, struct slice text) {
    lua_createtable(lua, 0, 1);
    lua_pushlstring(lua, text.bytes, text.size);
    lua_setfield(lua, -2, name);
}

static void push_value(lua_State *lua, const struct value *value) {
    switch (value->type) {
    case VALUE_NIL:
        lua_pushboolean(lua, 0);
        return;
    case VALUE_INTEGER:
        lua_pushnumber(lua, (lua_Number)value->integer);
        return;
    case VALUE_TEXT:
        lua_pushlstring(lua, value->text.bytes, value->text.size);
        return;
    case VALUE_STATUS:
        push_field_text(lua, "ok", value->text);
        return;
    case VALUE_ERROR:
        push_field_text(lua, "err", value->text);
        return;
    case VALUE_ARRAY:
        lua_createtable(lua, (int)value->count, 0);
        for (size_t i = 0; i < value->count; i++) {
            push_value(lua, &value->elements[i]);
            lua_rawseti(lua, -2, (int)i + 1);
        }
        return;
    }
}

/* ---- from Lua to Redis ---- */

static struct value take_text(lua_State *lua, int at) {
    struct slice text;
    text.bytes = lua_tolstring(lua, at, &text.size);
    return value_text(world_copy(text));
}

static struct value take_value(lua_State *lua, int at);

/* Up to the first nil. */
static struct value take_array(lua_State *lua, int at) {
    struct value array = value_array(lua_objlen(lua, at));
    for (size_t i = 0; i < array.count; i++) {
        lua_rawgeti(lua, at, (int)i + 1);
        if (lua_isnil(lua, -1)) {
            array.count = i;
        } else {
            array.elements[i] = take_value(lua, lua_gettop(lua));
        }
        lua_pop(lua, 1);
    }
    return array;
}

static struct value take_table(lua_State *lua, int at) {
    static const struct {
        const char *name;
        enum value_type type;
    } marks[] = {{"err", VALUE_ERROR}, {"ok", VALUE_STATUS}};
    for (size_t i = 0; i < COUNT_OF(marks); i++) {
        lua_getfield(lua, at, marks[i].name);
        if (lua_isstring(lua, -1)) {
            struct value value = take_text(lua, -1);
            value.type = marks[i].type;
            lua_pop(lua, 1);
            return value;
        }
        lua_pop(lua, 1);
    }
    return take_array(lua, at);
}

static struct value take_value(lua_State *lua, int at) {
    switch (lua_type(lua, at)) {
    case LUA_TSTRING:
        return take_text(lua, at);
    case LUA_TNUMBER:
        return value_integer((int64_t)lua_tonumber(lua, at));
    case LUA_TBOOLEAN:
        return lua_toboolean(lua, at) ? value_integer(1) : (struct value){.type = VALUE_NIL};
    case LUA_TTABLE:
        return take_table(lua, at);
    default:
        return (struct value){.type = VALUE_NIL};
    }
}

/* ---- the table `redis` ---- */

static struct value call_redis(lua_State *lua) {
    struct slice words[4200];
    int count = lua_gettop(lua);
    if (count < 1 || count > (int)COUNT_OF(words)) {
        return value_error("ERR wrong number of words for redis.call");
    }
    for (int i = 0; i < count; i++) {
        words[i].bytes = lua_tolstring(lua, i + 1, &words[i].size);
        if (!words[i].bytes) {
            return value_error("ERR Lua redis lib command arguments must be strings or integers");
        }
    }
    return server_call(host.server, &(struct command_words){words, (size_t)count});
}

static int on_call(lua_State *lua) {
    struct value answer = call_redis(lua);
    push_value(lua, &answer);
    return answer.type == VALUE_ERROR ? lua_error(lua) : 1;
}

static int on_pcall(lua_State *lua) {
    struct value answer = call_redis(lua);
    push_value(lua, &answer);
    return 1;
}

static int on_error_reply(lua_State *lua) {
    struct slice text;
    text.bytes = luaL_checklstring(lua, 1, &text.size);
    push_field_text(lua, "err", text);
    return 1;
}

static unsigned flags_of(lua_State *lua, int table) {
    unsigned flags = 0;
    lua_getfield(lua, table, "flags");
    for (int i = 1; lua_istable(lua, -1) && i <= (int)lua_objlen(lua, -1); i++) {
        lua_rawgeti(lua, -1, i);
        flags |= strcmp(lua_tostring(lua, -1), "no-writes") == 0 ? LUA_HOST_NO_WRITES : 0;
        flags |= strcmp(lua_tostring(lua, -1), "allow-oom") == 0 ? LUA_HOST_ALLOW_OOM : 0;
        lua_pop(lua, 1);
    }
    lua_pop(lua, 1);
    return flags;
}

/* register_function(name, callback) or register_function{function_name=, callback=, flags=} */
static int on_register(lua_State *lua) {
    unsigned flags = 0;
    if (lua_istable(lua, 1)) {
        flags = flags_of(lua, 1);
        lua_getfield(lua, 1, "function_name");
        lua_getfield(lua, 1, "callback");
        lua_remove(lua, 1);
    }
    luaL_checktype(lua, 2, LUA_TFUNCTION);
    if (host.function_count == FUNCTIONS_MAX) {
        return luaL_error(lua, "too many functions");
    }
    snprintf(host.functions[host.function_count].name,
             sizeof(host.functions[host.function_count].name), "%s", luaL_checkstring(lua, 1));
    host.functions[host.function_count].flags = flags;
    host.functions[host.function_count++].callback = luaL_ref(lua, LUA_REGISTRYINDEX);
    return 0;
}

/* ---- calls ---- */

static size_t function_find(struct slice name) {
    size_t at = 0;
    while (at < host.function_count && !slice_is_nocase(name, host.functions[at].name)) {
        at++;
    }
    return at;
}

unsigned lua_host_flags(struct slice function) {
    size_t at = function_find(function);
    return at < host.function_count ? host.functions[at].flags : 0;
}

static void push_words(lua_State *lua, const struct slice *words, size_t count) {
    lua_createtable(lua, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        lua_pushlstring(lua, words[i].size > 0 ? words[i].bytes : "", words[i].size);
        lua_rawseti(lua, -2, (int)i + 1);
    }
}

struct value lua_host_call(struct redis_server *server, const struct command_words *command,
                           size_t key_count) {
    lua_State *lua = host.lua;
    size_t at = function_find(command->words[1]);
    if (at == host.function_count) {
        return value_error("ERR Function not found");
    }
    assert(!host.server && lua_gettop(lua) == 0);
    host.server = server;
    lua_rawgeti(lua, LUA_REGISTRYINDEX, host.functions[at].callback);
    push_words(lua, command->words + 3, key_count);
    push_words(lua, command->words + 3 + key_count, command->count - 3 - key_count);
    bool failed = lua_pcall(lua, 2, 1, 0) != 0;
    struct value answer = take_value(lua, 1);
    answer.type = failed ? VALUE_ERROR : answer.type;
    lua_settop(lua, 0);
    host.server = NULL;
    if (failed) { /* coupon.lua's own mistake: nothing in a run may cause one */
        oracle_violation("a function of coupon.lua ended with an error: %.*s",
                         (int)answer.text.size, answer.text.bytes);
    }
    return answer;
}

/* ---- life ---- */

int lua_host_begin(const char *text, struct complaint *complaint) {
    static const luaL_Reg functions[] = {{"call", on_call},
                                         {"pcall", on_pcall},
                                         {"error_reply", on_error_reply},
                                         {"register_function", on_register},
                                         {NULL, NULL}};
    lua_State *lua = host.lua = luaL_newstate();
    if (!lua) {
        return complain(complaint, STATUS_NO_MEMORY, "no memory for Lua");
    }
    luaL_openlibs(lua);
    luaL_register(lua, "redis", functions);
    const char *body = strchr(text, '\n'); /* behind "#!lua name=…" */
    assert(body);
    if (luaL_loadbuffer(lua, body, strlen(body), "coupon.lua") || lua_pcall(lua, 0, 0, 0)) {
        return complain(complaint, STATUS_INVALID, "coupon.lua: %s", lua_tostring(lua, -1));
    }
    lua_settop(lua, 0);
    return STATUS_OK;
}

void lua_host_end(void) {
    if (host.lua) {
        lua_close(host.lua);
        host.lua = NULL;
    }
}
