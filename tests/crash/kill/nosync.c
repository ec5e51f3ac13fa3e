/* nosync: a module to preload, under which nothing is ever synced and everybody is told it was.
 *
 * For the negative controls of the power cuts: what a server promises on such a disk must be seen
 * to be lost, or the cuts prove nothing. Not for kill -9, which the page cache outlives. */
#include <unistd.h>

int fsync(int descriptor) {
    (void)descriptor;
    return 0;
}

int fdatasync(int descriptor) {
    (void)descriptor;
    return 0;
}
