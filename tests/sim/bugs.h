/* bugs: planted on purpose, to prove that the simulation finds them. Chosen by name; none is in
 * src/: the linker puts these in front of the calls in question. See run.h. */
#ifndef SIM_BUGS_H
#define SIM_BUGS_H

#include <stdbool.h>

/* NULL: none. False: there is none of this name. */
bool bugs_choose(const char *name);
/* The names, one after the other; NULL after the last. */
const char *bugs_name(unsigned at);
/* Before each run. */
void bugs_begin(void);

#endif
