/* What hiredis makes of a server's bytes, bounded. For connection.c.
 *
 * hiredis 0.14 makes room for as many elements as an array's head announces before one of them
 * has come: "*2147483647" costs 16 GiB. Strings need no bound of their own: room for one is made
 * when all of its bytes are there. */
#include "redis/internal.h"

/* NULL is what hiredis takes for want of memory: the reading ends with REDIS_ERR_OOM. */
static void *create_array(const redisReadTask *task, int elements) {
    const redisReplyObjectFunctions *original = task->privdata;
    return elements > REPLY_ELEMENTS_MAX ? NULL : original->createArray(task, elements);
}

void redis_reader_bound(redisReader *reader, redisReplyObjectFunctions *ret_functions) {
    *ret_functions = *reader->fn;
    ret_functions->createArray = create_array;
    reader->privdata = reader->fn;
    reader->fn = ret_functions;
}
