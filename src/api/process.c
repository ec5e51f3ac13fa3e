/* The process's own figures, from Linux. See process.h. */
#include "api/process.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int64_t cpu_us(void) {
    struct timespec used;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used)) {
        return 0;
    }
    return (int64_t)used.tv_sec * US_PER_SECOND + used.tv_nsec / 1000;
}

/* The second number of statm is the pages in memory (proc(5)). */
static uint64_t resident_bytes(void) {
    char text[128];
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file) {
        return 0;
    }
    uint64_t pages = 0;
    if (fgets(text, sizeof(text), file)) {
        const char *begin = strchr(text, ' ');
        size_t size = begin ? strcspn(begin + 1, " ") : 0;
        if (!begin || slice_to_u64((struct slice){begin + 1, size}, UINT32_MAX, &pages)) {
            pages = 0;
        }
    }
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Linux tells the number as the folder's size since 6.2; before, they are counted, which
 * takes a millisecond for some thousand. */
static uint64_t open_descriptors(void) {
    struct stat folder;
    if (stat("/proc/self/fd", &folder) == 0 && folder.st_size > 0) {
        return (uint64_t)folder.st_size;
    }
    DIR *listing = opendir("/proc/self/fd");
    uint64_t count = 0;
    if (!listing) {
        return 0;
    }
    for (const struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        count += entry->d_name[0] != '.';
    }
    closedir(listing);
    return count - 1; /* the listing's own */
}

void process_read(struct process_figures *ret_figures) {
    struct rlimit limit = {0};
    if (getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = 0;
    }
    *ret_figures = (struct process_figures){
        .cpu_us = cpu_us(),
        .resident_bytes = resident_bytes(),
        .open_descriptors = open_descriptors(),
        .descriptors_max = (uint64_t)limit.rlim_cur,
    };
}
