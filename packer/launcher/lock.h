/*
 * An exclusive lock between processes: one of them unpacks, the others wait.
 */
#ifndef PACKER_LOCK_H
#define PACKER_LOCK_H

#include "disk.h"
#include "launcher.h"

struct file_lock {
    disk_file file; /* the lock file */
    bool held;      /* false where the file system has no locks */
};

/*
 * Create the lock file `name` in `directory` and lock it, waiting as long as it takes; fails as INTERRUPTED after a
 * signal, or as PLACE. Release with lock_release(), also after a failure.
 */
bool lock_acquire(struct file_lock *lock, const struct directory *directory, const char *name,
                  struct failure *failure);
void lock_release(struct file_lock *lock);

#endif
