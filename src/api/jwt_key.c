/* The key of JSON Web Tokens, read once, and whether it has signed something. See credential.h.
 *
 * libcrypto does the arithmetic. Reading a PEM costs as much as twenty checks with RS256, so a
 * library that takes the PEM with every token is no help here (docs/decisions/0005). */
#include "api/credential.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sodium.h>
#include <stdlib.h>

/* A coordinate of P-256; an ES256 signature is R and S of so many bytes (RFC 7518, 3.4). */
enum { RSA_BITS_MIN = 2048, P256_BYTES = 32 };

struct jwt_key {
    enum jwt_algorithm algorithm;
    EVP_PKEY *public; /* RS256, ES256 */
    size_t secret_size;
    unsigned char secret[]; /* HS256 */
};

/* ---- reading ---- */

static bool is_p256(const EVP_PKEY *key) {
    char group[64];
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
           EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
           strcmp(group, "prime256v1") == 0;
}

static bool is_strong_rsa(const EVP_PKEY *key) {
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) >= RSA_BITS_MIN;
}

static int check_secret(const struct secret *secret, struct complaint *complaint) {
    static const char pem[] = "-----BEGIN";
    if (secret->text.size < JWT_SECRET_MIN) {
        return complain(complaint, STATUS_INVALID, "%s: an HS256 secret needs %d bytes at least",
                        secret->source, JWT_SECRET_MIN);
    }
    /* A public key is no secret: whoever reads it could sign. */
    if (memcmp(secret->text.bytes, pem, sizeof(pem) - 1) == 0) {
        return complain(complaint, STATUS_INVALID,
                        "%s holds a PEM key, which is no secret: is the algorithm RS256 or ES256?",
                        secret->source);
    }
    return STATUS_OK;
}

static int read_public(struct jwt_key *key, const struct secret *secret,
                       struct complaint *complaint) {
    bool rsa = key->algorithm == JWT_RS256;
    BIO *memory = BIO_new_mem_buf(secret->text.bytes, (int)secret->text.size);
    key->public = memory ? PEM_read_bio_PUBKEY(memory, NULL, NULL, NULL) : NULL;
    BIO_free(memory);
    if (key->public && (rsa ? is_strong_rsa(key->public) : is_p256(key->public))) {
        return STATUS_OK;
    }
    return complain(complaint, STATUS_INVALID, "%s: %s needs a public key in PEM, %s",
                    secret->source, rsa ? "RS256" : "ES256",
                    rsa ? "RSA of 2048 bits at least" : "on curve P-256");
}

int jwt_key_read(enum jwt_algorithm algorithm, const struct secret *secret,
                 struct jwt_key **ret_key, struct complaint *complaint) {
    size_t secret_size = algorithm == JWT_HS256 ? secret->text.size : 0;
    struct jwt_key *key = calloc(1, sizeof(*key) + secret_size);
    if (!key) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory for the credentials");
    }
    key->algorithm = algorithm;
    int status = algorithm == JWT_HS256 ? check_secret(secret, complaint)
                                        : read_public(key, secret, complaint);
    if (status) {
        jwt_key_free(key);
        return status;
    }
    key->secret_size = secret_size;
    if (secret_size > 0) {
        memcpy(key->secret, secret->text.bytes, secret_size);
    }
    *ret_key = key;
    return STATUS_OK;
}

void jwt_key_free(struct jwt_key *key) {
    if (!key) {
        return;
    }
    EVP_PKEY_free(key->public);
    sodium_memzero(key->secret, key->secret_size);
    free(key);
}

/* ---- checking ---- */

static bool secret_has_signed(const struct jwt_key *key, struct slice data,
                              struct slice signature) {
    crypto_auth_hmacsha256_state state;
    unsigned char right[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_init(&state, key->secret, key->secret_size);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)data.bytes, data.size);
    crypto_auth_hmacsha256_final(&state, right);
    return signature.size == sizeof(right) &&
           sodium_memcmp(right, signature.bytes, sizeof(right)) == 0;
}

/* With `signature` as libcrypto takes it. Any but 1 is a no: what went wrong with a signature
 * from outside is not worth telling. */
static bool public_fits(const struct jwt_key *key, struct slice data, struct slice signature) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool fits = context &&
                EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key->public) == 1 &&
                EVP_DigestVerify(context, (const unsigned char *)signature.bytes, signature.size,
                                 (const unsigned char *)data.bytes, data.size) == 1;
    EVP_MD_CTX_free(context);
    return fits;
}

/* R and S side by side to the DER that libcrypto wants (RFC 3279, 2.2.3). */
static bool curve_has_signed(const struct jwt_key *key, struct slice data, struct slice signature) {
    if (signature.size != (size_t)2 * P256_BYTES) {
        return false;
    }
    const unsigned char *bytes = (const unsigned char *)signature.bytes;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(bytes, P256_BYTES, NULL);
    BIGNUM *s = BN_bin2bn(bytes + P256_BYTES, P256_BYTES, NULL);
    unsigned char *der = NULL;
    bool fits = false;
    if (pair && r && s && ECDSA_SIG_set0(pair, r, s) == 1) {
        r = s = NULL; /* the pair's now */
        int size = i2d_ECDSA_SIG(pair, &der);
        fits = size > 0 && public_fits(key, data, (struct slice){(const char *)der, (size_t)size});
    }
    OPENSSL_free(der);
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(pair);
    return fits;
}

bool jwt_key_has_signed(const struct jwt_key *key, struct slice data, struct slice signature) {
    switch (key->algorithm) {
    case JWT_HS256:
        return secret_has_signed(key, data, signature);
    case JWT_RS256:
        return public_fits(key, data, signature);
    case JWT_ES256:
        return curve_has_signed(key, data, signature);
    }
    assert(false && "an algorithm");
    abort();
}
