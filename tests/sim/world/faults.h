/* faults: what may go wrong in a simulated run, and how often it really did.
 *
 * A fault is drawn, armed, and counted when it has an effect: a crash that was to come at a
 * checkpoint and never met one is no fault. For the simulation of the embedded server. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include "base/base.h"

enum fault {
    /* the process ends … */
    FAULT_CRASH_IDLE, /* between two turns of the writer */
    FAULT_CRASH_OPEN, /* … at a call of this sort: before it, in it, after it */
    FAULT_CRASH_READ,
    FAULT_CRASH_DB_WRITE,
    FAULT_CRASH_LOG_WRITE,
    FAULT_CRASH_DB_SYNC,
    FAULT_CRASH_LOG_SYNC,
    FAULT_CRASH_TRUNCATE,
    FAULT_CRASH_DELETE,
    FAULT_CRASH_RENAME,
    FAULT_CRASH_NAMES_SYNC,
    FAULT_CRASH_CHECKPOINT, /* any of these while the log is folded */
    FAULT_CRASH_RECOVERY,   /* any of these while the server starts */
    FAULT_CRASH_STOP,       /* any of these while it stops */
    /* … and how */
    FAULT_KILL,      /* what the system has in its memory stays */
    FAULT_POWER_CUT, /* it does not */
    FAULT_LOST_WRITE,
    FAULT_TORN_WRITE,
    FAULT_REORDERED_WRITE,
    FAULT_LOST_NAME,
    /* the disk says no */
    FAULT_READ_EIO,
    FAULT_WRITE_EIO,
    FAULT_SHORT_WRITE,
    FAULT_SYNC_EIO,
    FAULT_DISK_FULL,
    FAULT_FOLDER_EIO,
    FAULT_SLOW_DISK,
    FAULT_BACKUP_HOLDS,
    /* memory */
    FAULT_SQLITE_NO_MEMORY,
    FAULT_NO_MEMORY,
    /* time */
    FAULT_CLOCK_BACK,
    FAULT_CLOCK_FORWARD,
    FAULT_CLOCK_STUCK,
    FAULT_CLOCK_FAR_BEHIND, /* a start was refused for it */
    FAULT_PAUSE,            /* the process stood still while time went on */
    /* people and the network */
    FAULT_REQUEST_LOST,
    FAULT_REPLY_LOST,
    FAULT_DUPLICATE, /* one request delivered twice */
    FAULT_GAVE_UP,   /* a client whose patience ended before the reply came */
    FAULT_QUEUE_FULL,
    FAULT_CHANGE_IN_CROWD, /* a coupon changed while claims for it were waiting */
    FAULT_ARCHIVE_IN_CROWD,
    FAULT_IMPORT,
    /* what became of it */
    FAULT_UNWRITABLE, /* a known failure, and claims that met it */
    FAULT_BROKEN,     /* an outcome unknown, and the start after it */
    FAULT_CLEAN_STOP,
    FAULTS
};

const char *fault_name(enum fault fault);

#endif
