/*
 * Linux: our own file through /proc/self/exe or the auxiliary vector, home directory, CPUs.
 */
#include "bundle.h"
#include "launcher.h"
#include "platform.h"
#include "zip_records.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PROC_SELF_EXE "/proc/self/exe"
#define PORTABLE_VARIABLE "PACKER_PORTABLE"

void platform_open_standard_streams(void)
{
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++) {
        if (fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) {
            continue;
        }
        if (open("/dev/null", O_RDWR) < 0 && open("/", O_RDONLY | O_DIRECTORY) < 0) {
            return;
        }
    }
}

/* Absolute path of our file: (1) the link in /proc, (2) what the kernel was asked to execute. */
static char *own_path(bool *from_proc)
{
    char link[PATH_MAX];
    ssize_t length = readlink(PROC_SELF_EXE, link, sizeof link - 1);
    *from_proc = length > 0;
    if (length > 0) {
        link[length] = '\0';
        return strdup(link);
    }
    const char *executed = (const char *)getauxval(AT_EXECFN); /* NOLINT: the kernel passes a pointer */
    return executed != NULL ? realpath(executed, NULL) : NULL;
}

/* The link in /proc names the file as it was started; check that the file is still there under that name. */
static bool check_path(const struct bundle *bundle, const struct stat *opened, struct failure *failure)
{
    struct stat named;
    if (stat(bundle->path, &named) == 0 && named.st_dev == opened->st_dev && named.st_ino == opened->st_ino) {
        return true;
    }
    return fail(failure, FAILURE_MACHINE,
                "%s was moved, replaced or deleted while it was starting. Start it again from where it is now.",
                bundle->path);
}

/* Whether the open file ends with an archive's end record: then it is a packed file and no bare launcher. */
static bool ends_with_archive(const struct bundle *bundle)
{
    uint8_t end[END_BYTES];
    return bundle->size_bytes >= sizeof end &&
           pread((int)bundle->file, end, sizeof end, (off_t)(bundle->size_bytes - sizeof end)) == sizeof end &&
           little32(end) == END_SIGNATURE;
}

/*
 * The script of a portable file has copied us out of it and says where it is. A launcher with an archive of its own
 * pays no heed, and the programs we start don't see it.
 */
static bool open_portable(struct bundle *bundle, struct failure *failure)
{
    const char *path = environment_text(PORTABLE_VARIABLE);
    if (path == NULL || path[0] != '/' || ends_with_archive(bundle)) {
        unsetenv(PORTABLE_VARIABLE);
        return true;
    }
    free(bundle->path);
    close((int)bundle->file);
    bundle->path = strdup(path);
    unsetenv(PORTABLE_VARIABLE);
    bundle->file = open(bundle->path, O_RDONLY | O_CLOEXEC);
    struct stat opened;
    if (bundle->file < 0 || fstat((int)bundle->file, &opened) != 0 || !S_ISREG(opened.st_mode)) {
        return fail(failure, FAILURE_MACHINE, "%s can't be read: %s.", bundle->path, strerror(errno));
    }
    bundle->size_bytes = (uint64_t)opened.st_size;
    return true;
}

bool bundle_open_self(struct bundle *bundle, struct failure *failure)
{
    *bundle = (struct bundle){.file = DISK_FILE_NONE};
    bundle->path = own_path(&bundle->path_from_proc);
    if (bundle->path == NULL) {
        return fail(failure, FAILURE_MACHINE,
                    "can't find the file this program was started from (%s). Mount /proc, or start it by its full path.",
                    strerror(errno));
    }
    bundle->file = open(bundle->path_from_proc ? PROC_SELF_EXE : bundle->path, O_RDONLY | O_CLOEXEC);
    if (bundle->file < 0) {
        return fail(failure, FAILURE_MACHINE,
                    "%s can't be read: %s. Make it readable with: chmod u+r '%s'", bundle->path, strerror(errno),
                    bundle->path);
    }
    struct stat opened;
    if (fstat((int)bundle->file, &opened) != 0 || opened.st_size < 0) {
        return fail(failure, FAILURE_MACHINE, "%s can't be examined: %s.", bundle->path, strerror(errno));
    }
    bundle->size_bytes = (uint64_t)opened.st_size;
    return check_path(bundle, &opened, failure) && open_portable(bundle, failure);
}

char *platform_home_directory(void)
{
    const struct passwd *user = getpwuid(geteuid());
    return user != NULL && user->pw_dir != NULL && user->pw_dir[0] == '/' ? strdup(user->pw_dir) : NULL;
}

unsigned platform_num_cpus(void)
{
    cpu_set_t allowed;
    int count = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
    return count > 0 ? (unsigned)count : 1;
}

unsigned long platform_process_id(void)
{
    return (unsigned long)getpid();
}

bool platform_is_absolute(const char *path)
{
    return path[0] == '/';
}

double platform_clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

void platform_write_error(const char *text, size_t text_bytes)
{
    while (text_bytes > 0) {
        ssize_t written = write(STDERR_FILENO, text, text_bytes);
        if (written <= 0) {
            return;
        }
        text += written;
        text_bytes -= (size_t)written;
    }
}

void platform_show_failure(const char *text)
{
    (void)text; /* a terminal stays open; a desktop keeps what was printed in its log */
}

const char *environment_text(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

void platform_random(void *bytes, size_t num_bytes)
{
    if (getrandom(bytes, num_bytes, GRND_NONBLOCK) == (ssize_t)num_bytes) {
        return;
    }
    struct timespec now; /* early at boot: names only need to differ between processes */
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t mixed = ((uint64_t)now.tv_nsec << 32) ^ (uint64_t)now.tv_sec ^ ((uint64_t)getpid() << 16);
    for (size_t i = 0; i < num_bytes; i++) {
        mixed = mixed * 6364136223846793005U + 1442695040888963407U;
        ((uint8_t *)bytes)[i] = (uint8_t)(mixed >> 56);
    }
}
