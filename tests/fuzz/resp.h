/* resp: the protocol of Redis (RESP 2) as the fake server of fuzz_redis_client.c needs it. Pure. */
#ifndef COUPON_TESTS_FUZZ_RESP_H
#define COUPON_TESTS_FUZZ_RESP_H

#include "base/base.h"

#define RESP_WORDS_MAX 8

bool resp_begins(struct slice text, const char *word);
/* Takes a whole command off the front, of which the first words are kept; false: it is not whole
 * yet. It must be well-formed: the client wrote it. */
bool resp_command_take(struct slice *input, struct slice ret_words[static RESP_WORDS_MAX]);
/* Whether the bytes are one whole reply. */
bool resp_is_one_reply(struct slice bytes);
/* Whether it is an answer that says: not done. */
bool resp_says_not_done(struct slice bytes);

#endif
