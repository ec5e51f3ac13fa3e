/* Published coupons: a chained hash table of fixed size, and an array in the order of ids for
 * those who walk, under a read-write lock that the writer takes only when a coupon is made,
 * changed or archived. A coupon with an id below others' moves their places in the array: at
 * 262,144 coupons two megabytes, well under a millisecond. */
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
    struct board_entry **by_id; /* `count` of them, for readers that walk */
    size_t by_id_capacity;
    struct board_entry *buckets[];
};

/* Fibonacci hashing (Knuth vol. 3, 6.4): ids often come one after another. */
static size_t bucket_of(const struct board *board, uint64_t coupon_id) {
    return (size_t)((coupon_id * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & board->mask;
}

/* A waiting writer goes before new readers: it holds up every claim meanwhile, and a crowd
 * of readers could else keep it out for as long as they overlap. */
static void lock_init(pthread_rwlock_t *lock) {
    pthread_rwlockattr_t attributes;
    int failed = pthread_rwlockattr_init(&attributes);
    failed |=
        pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    failed |= pthread_rwlock_init(lock, &attributes);
    assert(failed == 0); /* nothing of it allocates */
    pthread_rwlockattr_destroy(&attributes);
}

int board_new(size_t coupons_max, struct board **ret_board) {
    size_t buckets = 1;
    while (buckets < coupons_max) {
        buckets *= 2;
    }
    struct board *board = calloc(1, sizeof(*board) + buckets * sizeof(board->buckets[0]));
    pthread_rwlock_t *lock = malloc(sizeof(*lock));
    if (!board || !lock) {
        free(board);
        free(lock);
        return STATUS_NO_MEMORY;
    }
    lock_init(lock);
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
    free(board->by_id);
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

/* The place in by_id of the first coupon whose id is not below this one. */
static size_t rank_of(const struct board *board, uint64_t coupon_id) {
    size_t low = 0;
    size_t high = board->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (board->by_id[middle]->coupon_id < coupon_id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Room for one more in by_id. Readers look at it under the lock only. */
static int reserve_place(struct board *board) {
    if (board->count < board->by_id_capacity) {
        return STATUS_OK;
    }
    size_t capacity = board->by_id_capacity ? board->by_id_capacity * 2 : 64;
    pthread_rwlock_wrlock(board->lock);
    struct board_entry **by_id = realloc(board->by_id, capacity * sizeof(by_id[0]));
    if (by_id) {
        board->by_id = by_id;
        board->by_id_capacity = capacity;
    }
    pthread_rwlock_unlock(board->lock);
    return by_id ? STATUS_OK : STATUS_NO_MEMORY;
}

int board_put(struct board *board, const struct coupon_record *coupon) {
    size_t size = offsetof(struct coupon_record, metadata) + strlen(coupon->metadata) + 1;
    struct board_entry *entry = calloc(1, sizeof(*entry) + size);
    if (!entry || reserve_place(board)) {
        free(entry);
        return STATUS_NO_MEMORY;
    }
    entry->coupon_id = coupon->id;
    entry->total_quantity = coupon->total_quantity;
    atomic_init(&entry->issued_quantity, coupon->issued_quantity);
    entry->size = size;
    memcpy(entry->record, coupon, size);

    pthread_rwlock_wrlock(board->lock);
    struct board_entry **place = place_of(board, coupon->id);
    struct board_entry *former = *place;
    entry->next = former ? former->next : NULL;
    *place = entry;
    size_t rank = rank_of(board, coupon->id);
    if (!former) {
        memmove(&board->by_id[rank + 1], &board->by_id[rank],
                (board->count - rank) * sizeof(board->by_id[0]));
        board->count++;
    }
    board->by_id[rank] = entry;
    pthread_rwlock_unlock(board->lock);
    free(former);
    return STATUS_OK;
}

void board_remove(struct board *board, uint64_t coupon_id) {
    pthread_rwlock_wrlock(board->lock);
    struct board_entry **place = place_of(board, coupon_id);
    struct board_entry *entry = *place;
    if (entry) {
        size_t rank = rank_of(board, coupon_id);
        *place = entry->next;
        board->count--;
        memmove(&board->by_id[rank], &board->by_id[rank + 1],
                (board->count - rank) * sizeof(board->by_id[0]));
    }
    pthread_rwlock_unlock(board->lock);
    free(entry);
}

struct board_entry *board_find(struct board *board, uint64_t coupon_id) {
    return *place_of(board, coupon_id);
}

size_t board_buckets(const struct board *board) {
    return board->mask + 1;
}

const struct board_entry *board_bucket(const struct board *board, size_t bucket) {
    assert(bucket <= board->mask);
    return board->buckets[bucket];
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

static size_t quantities_slice(const struct board *board, uint64_t after_id, size_t limit,
                               struct coupon_quantities *ret_quantities) {
    pthread_rwlock_rdlock(board->lock);
    size_t first = rank_of(board, after_id + 1);
    size_t count = 0;
    for (; count < limit && first + count < board->count; count++) {
        const struct board_entry *entry = board->by_id[first + count];
        ret_quantities[count] = (struct coupon_quantities){
            .coupon_id = entry->coupon_id,
            .total_quantity = entry->total_quantity,
            .issued_quantity = atomic_load(&entry->issued_quantity),
        };
    }
    pthread_rwlock_unlock(board->lock);
    return count;
}

size_t board_quantities(const struct board *board, uint64_t after_id, size_t limit,
                        struct coupon_quantities *ret_quantities) {
    size_t count = 0;
    while (count < limit) {
        size_t slice = limit - count < BOARD_SLICE_MAX ? limit - count : BOARD_SLICE_MAX;
        size_t got = quantities_slice(board, after_id, slice, &ret_quantities[count]);
        count += got;
        if (got < slice) {
            break;
        }
        after_id = ret_quantities[count - 1].coupon_id;
    }
    return count;
}
