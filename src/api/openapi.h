/* openapi: the contract's text in the program. The build makes it from openapi.json, with the
 * program's version put in (openapi_embed.py). Internal to api/; sent by openapi.c. */
#ifndef COUPON_API_OPENAPI_H
#define COUPON_API_OPENAPI_H

#include "base/base.h"

/* JSON, not terminated, as long as the program. */
extern const struct slice openapi_text;

#endif
