/* plain: the tokens of JSON bodies in their plain form: strings of visible ASCII without
 * escapes, integers of at most 18 digits. A body that is not of this form is not wrong; its
 * reader leaves it to jansson. Internal to api/; called by the readers of hot bodies. */
#ifndef COUPON_API_PLAIN_H
#define COUPON_API_PLAIN_H

#include "base/base.h"

/* Each takes its token from the front of *text, white space before it included, or returns
 * false, when *text is anywhere between its old beginning and the token's end. */
void plain_space(struct slice *text);
bool plain_take(struct slice *text, char c);
bool plain_string(struct slice *text, struct slice *ret_string); /* without its quotes */
/* No white space before it; no sign, no leading zero. */
bool plain_integer(struct slice *text, struct slice *ret_digits);

#endif
