/* A user's name as 128 keyed bits, by libsodium. For the issuer and verify. */
#include "base/base.h"

#include <sodium.h>

_Static_assert(sizeof(struct digest_key) == crypto_shorthash_siphashx24_KEYBYTES, "key size");
_Static_assert(sizeof(struct digest) == crypto_shorthash_siphashx24_BYTES, "digest size");

void digest_key_random(struct digest_key *ret_key) {
    randombytes_buf(ret_key->bytes, sizeof(ret_key->bytes));
}

struct digest digest_of(const struct digest_key *key, struct slice text) {
    struct digest digest;
    unsigned char bytes[sizeof(digest)];
    crypto_shorthash_siphashx24(bytes, (const unsigned char *)text.bytes, text.size, key->bytes);
    memcpy(&digest, bytes, sizeof(digest));
    return digest;
}
