/*
 * Windows: LockFileEx() on a file that stays where it is; see lock.h. The system unlocks it when a process dies.
 */
#include "launcher.h"
#include "lock.h"
#include "directory_windows.h"
#include "signals.h"
#include "wide_windows.h"

#include <stdlib.h>

enum { POLL_MS = 20, QUIET_MS = 1000 };

/* Poll for the lock, so that Ctrl-C is noticed. `lock->held` says whether we got it. */
static bool wait_for_lock(struct file_lock *lock, struct failure *failure)
{
    for (int waited_ms = 0;; waited_ms += POLL_MS) {
        OVERLAPPED range = {0};
        if (LockFileEx((HANDLE)lock->file, LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &range)) {
            lock->held = true;
            return true;
        }
        DWORD error = GetLastError();
        if (error != ERROR_LOCK_VIOLATION && error != ERROR_IO_PENDING) {
            return true; /* no locks here; the final rename is atomic all the same */
        }
        if (signals_pending() != 0) {
            return fail(failure, FAILURE_INTERRUPTED, "interrupted while another copy was unpacking");
        }
        if (waited_ms == QUIET_MS) {
            say("waiting for another copy to finish unpacking ...");
        }
        Sleep(POLL_MS);
    }
}

bool lock_acquire(struct file_lock *lock, const struct directory *directory, const char *name,
                  struct failure *failure)
{
    lock_release(lock);
    wchar_t *path = directory_join(directory, name);
    /* Without FILE_SHARE_DELETE: while somebody has it open, the file keeps its name. */
    HANDLE file = CreateFileW(path, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_ALWAYS,
                              FILE_ATTRIBUTE_NORMAL, NULL);
    disk_error error = file == INVALID_HANDLE_VALUE ? (disk_error)GetLastError() : 0;
    free(path);
    lock->file = (disk_file)file;
    if (error != 0) {
        return fail(failure, FAILURE_PLACE, "can't be written to: %s", disk_error_text(error));
    }
    return wait_for_lock(lock, failure);
}

void lock_release(struct file_lock *lock)
{
    if (lock->file != DISK_FILE_NONE) {
        file_close(lock->file);
    }
    *lock = (struct file_lock){.file = DISK_FILE_NONE};
}
