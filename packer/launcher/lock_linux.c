/*
 * Linux: flock() on a file that stays where it is; see lock.h.
 */
#include "launcher.h"
#include "lock.h"
#include "disk_linux.h"
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { POLL_MS = 20, QUIET_MS = 1000 };

/* Whether the file we locked still has its name; somebody may have emptied the directory meanwhile. */
static bool still_named(int descriptor, int directory, const char *name)
{
    struct stat locked;
    struct stat named;
    return fstat(descriptor, &locked) == 0 && fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           locked.st_ino == named.st_ino && locked.st_dev == named.st_dev;
}

/* Poll for the lock, so that a signal between two system calls is never lost. `lock->held` says whether we got it. */
static bool wait_for_lock(struct file_lock *lock, struct failure *failure)
{
    for (int waited_ms = 0;; waited_ms += POLL_MS) {
        if (flock((int)lock->file, LOCK_EX | LOCK_NB) == 0) {
            lock->held = true;
            return true;
        }
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return true; /* no locks here; the final rename is atomic all the same */
        }
        if (signals_pending() != 0) {
            return fail(failure, FAILURE_INTERRUPTED, "interrupted while another copy was unpacking");
        }
        if (waited_ms == QUIET_MS) {
            say("waiting for another copy to finish unpacking ...");
        }
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
}

bool lock_acquire(struct file_lock *lock, const struct directory *directory, const char *name,
                  struct failure *failure)
{
    do {
        lock_release(lock);
        lock->file = openat(directory->descriptor, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (lock->file < 0) {
            return fail(failure, FAILURE_PLACE, "can't be written to: %s", strerror(errno));
        }
        if (!wait_for_lock(lock, failure)) {
            return false;
        }
    } while (lock->held && !still_named((int)lock->file, directory->descriptor, name));
    return true;
}

void lock_release(struct file_lock *lock)
{
    if (lock->file != DISK_FILE_NONE) {
        close((int)lock->file); /* unlocks */
    }
    *lock = (struct file_lock){.file = DISK_FILE_NONE};
}
