/* Spoils a story at random, for the comparison with the slow judge: the result may be possible
 * still. For the tests of the checker only. */
#ifndef COUPON_SPOIL_H
#define COUPON_SPOIL_H

#include "story.h"

void story_spoil(struct story *story, struct story_random *random);

#endif
