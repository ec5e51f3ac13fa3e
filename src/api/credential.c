/* The credentials in force: named tokens, the key of claimers' tokens. See credential.h. */
#include "api/credential.h"

#include <sodium.h>
#include <stdlib.h>

enum { TOKEN_DIGEST_SIZE = 32 };

/* Only a digest is kept, so that comparing tells neither length nor prefix. */
struct named_token {
    unsigned char digest[TOKEN_DIGEST_SIZE];
    char name[TOKEN_NAME_MAX + 1];
};

struct token_table {
    size_t count;
    struct named_token tokens[TOKENS_MAX];
};

struct credentials {
    unsigned references;
    enum claim_auth claim_auth;
    struct token_table admins;
    struct token_table gateways;
    struct jwt_terms jwt;
    struct jwt_key *jwt_key; /* owned; jwt.key points to it */
};

/* ---- a file of tokens ---- */

struct words {
    struct slice word[2];
    size_t count; /* 3: more than two */
};

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

static struct words words_of(struct slice line) {
    struct words words = {.count = 0};
    size_t at = 0;
    for (;;) {
        while (at < line.size && is_space(line.bytes[at])) {
            at++;
        }
        if (at == line.size || words.count == 3) {
            return words;
        }
        size_t start = at;
        while (at < line.size && !is_space(line.bytes[at])) {
            at++;
        }
        if (words.count < COUNT_OF(words.word)) {
            words.word[words.count] = (struct slice){line.bytes + start, at - start};
        }
        words.count++;
    }
}

static void token_digest(struct slice token, unsigned char ret_digest[static TOKEN_DIGEST_SIZE]) {
    crypto_generichash(ret_digest, TOKEN_DIGEST_SIZE, (const unsigned char *)token.bytes,
                       token.size, NULL, 0);
}

/* NULL: neither. All are compared, so that the time tells nothing. */
static const struct named_token *find(const struct token_table *table, struct slice token) {
    const struct named_token *found = NULL;
    unsigned char digest[TOKEN_DIGEST_SIZE];
    token_digest(token, digest);
    for (size_t i = 0; i < table->count; i++) {
        if (sodium_memcmp(digest, table->tokens[i].digest, sizeof(digest)) == 0) {
            found = &table->tokens[i];
        }
    }
    return found;
}

/* What is wrong with the line, or NULL; without a token *ret_token has no bytes. No sentence
 * repeats what the line says: it is a secret. */
static const char *read_line(struct slice line, struct slice *ret_name, struct slice *ret_token) {
    struct words words = words_of(line);
    *ret_token = (struct slice){NULL, 0};
    if (words.count == 0 || words.word[0].bytes[0] == '#') {
        return NULL;
    }
    struct slice name = words.count == 1 ? slice_of("admin") : words.word[0];
    struct slice token = words.count == 1 ? words.word[0] : words.word[1];
    if (words.count > 2) {
        return "a line is a name and a token, or a token alone";
    }
    if (name.size > TOKEN_NAME_MAX || !slice_is_visible(name)) {
        return "a name has at most 64 visible ASCII characters";
    }
    if (token.size < ADMIN_TOKEN_MIN || token.size > ADMIN_TOKEN_MAX || !slice_is_visible(token)) {
        return "a token has 16 to 256 visible ASCII characters";
    }
    *ret_name = name;
    *ret_token = token;
    return NULL;
}

/* The same, and the token is in the table then. */
static const char *take_line(struct token_table *table, struct slice line) {
    struct slice name;
    struct slice token;
    const char *why = read_line(line, &name, &token);
    if (why || token.size == 0) {
        return why;
    }
    if (table->count == TOKENS_MAX) {
        return "there are more than 64 tokens";
    }
    if (find(table, token)) {
        return "the token is there twice";
    }
    struct named_token *place = &table->tokens[table->count++];
    memcpy(place->name, name.bytes, name.size);
    token_digest(token, place->digest);
    return NULL;
}

/* Takes the first line off the rest. */
static struct slice next_line(struct slice *rest) {
    const char *end = memchr(rest->bytes, '\n', rest->size);
    struct slice line = {rest->bytes, end ? (size_t)(end - rest->bytes) : rest->size};
    size_t used = line.size + (end ? 1 : 0);
    *rest = (struct slice){rest->bytes + used, rest->size - used};
    return line;
}

static int bad_line(const struct secret *secret, unsigned number, const char *why,
                    struct complaint *complaint) {
    static_assert(ADMIN_TOKEN_MIN == 16 && ADMIN_TOKEN_MAX == 256, "as in read_line");
    static_assert(TOKENS_MAX == 64 && TOKEN_NAME_MAX == 64, "as in read_line and take_line");
    return complain(complaint, STATUS_INVALID, "%s, line %u: %s", secret->source, number, why);
}

static int no_token(const struct secret *secret, struct complaint *complaint) {
    return complain(complaint, STATUS_INVALID, "%s holds no token", secret->source);
}

static int read_tokens(const struct secret *secret, struct token_table *table,
                       struct complaint *complaint) {
    struct slice rest = secret->text;
    for (unsigned number = 1; rest.size > 0; number++) {
        const char *why = take_line(table, next_line(&rest));
        if (why) {
            return bad_line(secret, number, why, complaint);
        }
    }
    return table->count > 0 ? STATUS_OK : no_token(secret, complaint);
}

int api_token_first(const struct secret *tokens, struct slice *ret_token,
                    struct complaint *complaint) {
    struct slice rest = tokens->text;
    for (unsigned number = 1; rest.size > 0; number++) {
        struct slice name;
        struct slice token;
        const char *why = read_line(next_line(&rest), &name, &token);
        if (why) {
            return bad_line(tokens, number, why, complaint);
        }
        if (token.size > 0) {
            *ret_token = token;
            return STATUS_OK;
        }
    }
    return no_token(tokens, complaint);
}

/* ---- the whole ---- */

/* The secret's bytes without the line end that editors put there. */
static int take_jwt_key(struct credentials *credentials, const struct api_rules *rules,
                        const struct secret *secret, struct complaint *complaint) {
    struct secret key = *secret;
    if (key.text.size > 0 && key.text.bytes[key.text.size - 1] == '\n') {
        bool wide = key.text.size > 1 && key.text.bytes[key.text.size - 2] == '\r';
        key.text.size -= wide ? 2 : 1;
    }
    credentials->jwt = (struct jwt_terms){
        .algorithm = rules->jwt_algorithm,
        .issuer = rules->jwt_issuer,
        .audience = rules->jwt_audience,
    };
    int status = jwt_key_read(rules->jwt_algorithm, &key, &credentials->jwt_key, complaint);
    credentials->jwt.key = credentials->jwt_key;
    return status;
}

int credentials_new(const struct api_rules *rules, const struct api_secrets *secrets,
                    struct credentials **ret_credentials, struct complaint *complaint) {
    struct credentials *credentials = calloc(1, sizeof(*credentials));
    if (!credentials) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory for the credentials");
    }
    credentials->references = 1;
    credentials->claim_auth = rules->claim_auth;
    int status = read_tokens(&secrets->admin_tokens, &credentials->admins, complaint);
    if (status == STATUS_OK && rules->claim_auth == CLAIM_AUTH_TOKEN) {
        status = read_tokens(&secrets->claim_tokens, &credentials->gateways, complaint);
    }
    if (status == STATUS_OK && rules->claim_auth == CLAIM_AUTH_JWT) {
        status = take_jwt_key(credentials, rules, &secrets->jwt_key, complaint);
    }
    if (status) {
        credentials_release(credentials);
        return status;
    }
    *ret_credentials = credentials;
    return STATUS_OK;
}

struct credentials *credentials_hold(struct credentials *credentials) {
    assert(credentials->references > 0);
    credentials->references++;
    return credentials;
}

void credentials_release(struct credentials *credentials) {
    if (!credentials || --credentials->references > 0) {
        return;
    }
    jwt_key_free(credentials->jwt_key);
    free(credentials);
}

/* ---- judging ---- */

static void judge_claimer(const struct credentials *credentials, struct slice token, int64_t now_us,
                          struct finding *finding) {
    switch (credentials->claim_auth) {
    case CLAIM_AUTH_NONE:
        finding->caller = CALLER_BELIEVED;
        return;
    case CLAIM_AUTH_TOKEN:
        if (find(&credentials->gateways, token)) {
            finding->caller = CALLER_BELIEVED;
        }
        return;
    case CLAIM_AUTH_JWT:
        if (jwt_read(&credentials->jwt, token, now_us, &finding->user, &finding->why) ==
            STATUS_OK) {
            finding->caller = CALLER_USER;
        }
        return;
    }
    assert(false && "a way to prove it");
}

void credentials_judge(const struct credentials *credentials, struct slice token, int64_t now_us,
                       struct finding *ret_finding) {
    *ret_finding = (struct finding){.caller = CALLER_UNKNOWN, .why = "The token is unknown."};
    const struct named_token *admin = token.size > 0 ? find(&credentials->admins, token) : NULL;
    if (admin) {
        ret_finding->caller = CALLER_ADMIN;
        ret_finding->admin_name = admin->name;
    } else if (token.size > 0 || credentials->claim_auth == CLAIM_AUTH_NONE) {
        judge_claimer(credentials, token, now_us, ret_finding);
    } else {
        ret_finding->why = "This call needs Authorization: Bearer and a token.";
    }
}
