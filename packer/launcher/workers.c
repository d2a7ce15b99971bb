/*
 * Unpacks all entries with a few threads, the largest first, and flushes the result; see unpack.h.
 */
#include "launcher.h"
#include "unpack.h"
#include "disk.h"
#include "platform.h"
#include "signals.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_THREADS = 8, THREAD_STACK_BYTES = 1024 * 1024, QUIET_S = 1 };

/* What the threads share. */
struct work {
    const struct bundle *bundle;
    const struct archive *archive;
    const struct directory *root;
    const struct archive_entry **order; /* entries, the largest first */
    atomic_size_t next;                 /* index into `order` */
    atomic_bool stop;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    unsigned num_running;
    struct failure failure;
};

static int larger_first(const void *left, const void *right)
{
    const struct archive_entry *a = *(const struct archive_entry *const *)left;
    const struct archive_entry *b = *(const struct archive_entry *const *)right;
    return (a->size_bytes < b->size_bytes) - (a->size_bytes > b->size_bytes);
}

/* Take entries until there are none left or something failed. */
static void run_worker(struct work *work)
{
    struct failure failure = {.kind = FAILURE_NONE};
    struct unpacker unpacker;
    bool going = unpacker_open(&unpacker, &failure);
    while (going && !atomic_load(&work->stop)) {
        size_t index = atomic_fetch_add(&work->next, 1);
        if (index >= work->archive->num_entries) {
            break;
        }
        going = unpack_entry(&unpacker, work->bundle, work->archive, work->order[index], work->root, &failure);
    }
    unpacker_close(&unpacker);
    pthread_mutex_lock(&work->lock);
    if (!going) {
        atomic_store(&work->stop, true);
        if (work->failure.kind == FAILURE_NONE) {
            work->failure = failure;
        } else {
            failure_clear(&failure);
        }
    }
    work->num_running--;
    pthread_cond_signal(&work->changed);
    pthread_mutex_unlock(&work->lock);
}

static void *thread_main(void *work)
{
    run_worker(work);
    return NULL;
}

/* Wait for the threads; when they take long, say once what the user is waiting for. */
static void wait_for_workers(struct work *work)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += QUIET_S;
    bool told = false;
    pthread_mutex_lock(&work->lock);
    while (work->num_running > 0) {
        if (told) {
            pthread_cond_wait(&work->changed, &work->lock);
        } else if (pthread_cond_timedwait(&work->changed, &work->lock, &deadline) == ETIMEDOUT) {
            say("unpacking the runtime (first start only) ...");
            told = true;
        }
    }
    pthread_mutex_unlock(&work->lock);
}

/* Start up to `wanted` threads; where none can be started, do the work right here. */
static void run_threads(struct work *work, unsigned wanted)
{
    pthread_t threads[MAX_THREADS];
    unsigned num_started = 0;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
    work->num_running = wanted;
    while (num_started < wanted && pthread_create(&threads[num_started], &attributes, thread_main, work) == 0) {
        num_started++;
    }
    pthread_attr_destroy(&attributes);
    pthread_mutex_lock(&work->lock);
    work->num_running -= wanted - num_started;
    work->num_running += num_started == 0 ? 1 : 0;
    pthread_mutex_unlock(&work->lock);
    if (num_started == 0) {
        run_worker(work);
    }
    wait_for_workers(work);
    for (unsigned i = 0; i < num_started; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* Flush every unpacked file; write-back started when each was closed, so this mostly waits once. */
static bool sync_files(const struct archive *archive, const struct directory *root, struct failure *failure)
{
    for (size_t i = 0; i < archive->num_entries; i++) {
        const char *path = archive->entries[i].path;
        if (signals_pending() != 0) {
            return fail(failure, FAILURE_INTERRUPTED, "interrupted while unpacking");
        }
        disk_error error = directory_flush_file(root, path);
        if (error != 0) {
            return fail(failure, FAILURE_PLACE, "can't flush %s to the disk: %s", path, disk_error_text(error));
        }
    }
    return true;
}

bool unpack_all(const struct bundle *bundle, const struct archive *archive, const struct directory *root,
                struct failure *failure)
{
    bool done = false;
    struct work work = {
        .bundle = bundle,
        .archive = archive,
        .root = root,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
    };
    work.order = allocate(archive->num_entries, sizeof *work.order);
    for (size_t i = 0; i < archive->num_entries; i++) {
        work.order[i] = &archive->entries[i];
        disk_error error = directory_make_parents(root, archive->entries[i].path);
        if (disk_error_is_taken(error)) {
            continue; /* a file where a directory is needed: unpack_entry() says so */
        }
        if (error != 0) {
            fail(failure, FAILURE_PLACE, "can't create the directory of %s: %s", archive->entries[i].path,
                 disk_error_text(error));
            goto cleanup;
        }
    }
    qsort(work.order, archive->num_entries, sizeof *work.order, larger_first);
    unsigned wanted = platform_num_cpus();
    wanted = wanted < MAX_THREADS ? wanted : MAX_THREADS;
    run_threads(&work, archive->num_entries < wanted ? (unsigned)archive->num_entries : wanted);
    if (work.failure.kind != FAILURE_NONE) {
        *failure = work.failure;
        goto cleanup;
    }
    trace("unpacked %zu files with %u threads", archive->num_entries, wanted);
    done = sync_files(archive, root, failure);
cleanup:
    free(work.order);
    return done;
}
