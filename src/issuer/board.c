/* Published coupons: a chained hash table of fixed size under a read-write lock that the
 * writer takes only when a coupon is made, changed or archived. */
#include "issuer/board.h"

#include <pthread.h>
#include <stdlib.h>

_Static_assert(sizeof(struct coupon_record) - offsetof(struct coupon_record, metadata) <
                   COUPON_METADATA_MAX + 1 + sizeof(int64_t),
               "metadata is the last member: the board keeps a record up to its end");

struct board {
    pthread_rwlock_t *lock; /* of its own, so that a reader may lock a const board */
    size_t mask;
    _Atomic size_t count;
    struct board_entry *buckets[];
};

/* Fibonacci hashing (Knuth vol. 3, 6.4): ids often come one after another. */
static size_t bucket_of(const struct board *board, uint64_t coupon_id) {
    return (size_t)((coupon_id * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & board->mask;
}

/* A waiting writer goes before new readers: it holds up every claim meanwhile, and a crowd
 * of readers could else keep it out for as long as they overlap. */
static int lock_init(pthread_rwlock_t *lock) {
    pthread_rwlockattr_t attributes;
    if (pthread_rwlockattr_init(&attributes)) {
        return STATUS_NO_MEMORY;
    }
    int failed =
        pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) ||
        pthread_rwlock_init(lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    return failed ? STATUS_NO_MEMORY : STATUS_OK;
}

int board_new(size_t coupons_max, struct board **ret_board) {
    size_t buckets = 1;
    while (buckets < coupons_max) {
        buckets *= 2;
    }
    struct board *board = calloc(1, sizeof(*board) + buckets * sizeof(board->buckets[0]));
    pthread_rwlock_t *lock = malloc(sizeof(*lock));
    if (!board || !lock || lock_init(lock)) {
        free(board);
        free(lock);
        return STATUS_NO_MEMORY;
    }
    board->lock = lock;
    board->mask = buckets - 1;
    *ret_board = board;
    return STATUS_OK;
}

void board_free(struct board *board) {
    if (!board) {
        return;
    }
    for (size_t i = 0; i <= board->mask; i++) {
        struct board_entry *entry = board->buckets[i];
        while (entry) {
            struct board_entry *next = entry->next;
            free(entry);
            entry = next;
        }
    }
    pthread_rwlock_destroy(board->lock);
    free(board->lock);
    free(board);
}

/* The place that points to the entry, or to the NULL where it would go. */
static struct board_entry **place_of(struct board *board, uint64_t coupon_id) {
    struct board_entry **place = &board->buckets[bucket_of(board, coupon_id)];
    while (*place && (*place)->coupon_id != coupon_id) {
        place = &(*place)->next;
    }
    return place;
}

int board_put(struct board *board, const struct coupon_record *coupon) {
    size_t size = offsetof(struct coupon_record, metadata) + strlen(coupon->metadata) + 1;
    struct board_entry *entry = calloc(1, sizeof(*entry) + size);
    if (!entry) {
        return STATUS_NO_MEMORY;
    }
    entry->coupon_id = coupon->id;
    atomic_init(&entry->issued_quantity, coupon->issued_quantity);
    entry->size = size;
    memcpy(entry->record, coupon, size);

    pthread_rwlock_wrlock(board->lock);
    struct board_entry **place = place_of(board, coupon->id);
    struct board_entry *former = *place;
    entry->next = former ? former->next : NULL;
    *place = entry;
    pthread_rwlock_unlock(board->lock);
    atomic_fetch_add(&board->count, former ? 0 : 1);
    free(former);
    return STATUS_OK;
}

void board_remove(struct board *board, uint64_t coupon_id) {
    pthread_rwlock_wrlock(board->lock);
    struct board_entry **place = place_of(board, coupon_id);
    struct board_entry *entry = *place;
    if (entry) {
        *place = entry->next;
        atomic_fetch_sub(&board->count, 1);
    }
    pthread_rwlock_unlock(board->lock);
    free(entry);
}

struct board_entry *board_find(struct board *board, uint64_t coupon_id) {
    return *place_of(board, coupon_id);
}

size_t board_count(const struct board *board) {
    return atomic_load(&board->count);
}

int board_read(const struct board *board, uint64_t coupon_id, struct coupon_record *ret_coupon) {
    int status = STATUS_NOT_FOUND;
    pthread_rwlock_rdlock(board->lock);
    const struct board_entry *entry = board->buckets[bucket_of(board, coupon_id)];
    while (entry && entry->coupon_id != coupon_id) {
        entry = entry->next;
    }
    if (entry) {
        memcpy(ret_coupon, entry->record, entry->size);
        ret_coupon->issued_quantity = atomic_load(&entry->issued_quantity);
        status = STATUS_OK;
    }
    pthread_rwlock_unlock(board->lock);
    return status;
}
