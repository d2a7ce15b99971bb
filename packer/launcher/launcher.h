/*
 * What every file of the launcher shares: the target's name, exit codes, and how a failure travels.
 *
 * The launcher is the program at the front of a packed file. It reads the ZIP64 archive that ends the same file
 * (format: packer/container/layout.py), unpacks the runtime once into a cache directory and executes it. It knows
 * nothing of Python, models or HTTP.
 *
 * Include this header first: it selects the GNU and POSIX interfaces of the C library.
 */
#ifndef PACKER_LAUNCHER_H
#define PACKER_LAUNCHER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform_values.h"

#define RUNTIME_PREFIX "runtime/" PACKER_TARGET "/"
#define RUNTIME_ID_NAME "runtime.id"
#define RUNTIME_ID_DIGITS 64

/* The same codes as packer/errors.py; a signal ends the launcher with 128 + its number. */
enum { EXIT_CODE_DAMAGED = 5, EXIT_CODE_MACHINE = 7, EXIT_CODE_SIGNAL = 128 };

enum failure_kind {
    FAILURE_NONE,
    FAILURE_DAMAGED,     /* the packed file: exit 5 */
    FAILURE_PLACE,       /* this cache directory won't do; the next one may */
    FAILURE_MACHINE,     /* this machine can't run it: exit 7 */
    FAILURE_INTERRUPTED, /* a signal asked us to stop: exit 128 + signal */
};

/* Why a step failed. The first failure set stays; `text` is one sentence for the user (NULL when memory ran out). */
struct failure {
    enum failure_kind kind;
    char *text;
};

/* Record a failure unless one is there already. Always returns false, so that callers can `return fail(...)`. */
bool fail(struct failure *failure, enum failure_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Forget a failure and free its text. */
void failure_clear(struct failure *failure);

/* The exit code that belongs to a failure. */
int failure_exit_code(const struct failure *failure);

/* Write one line to standard error. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Like say(), with the milliseconds since trace_start(), when PACKER_LAUNCHER_TRACE=1 is set. */
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
void trace_start(void);

/* The clock at trace_start(), at mark_cache() and now, in milliseconds, for --timings; the caller frees it. */
char *clock_text(void);
void mark_cache(void);

/* printf into fresh memory; ends the launcher (exit 7) when there is none. The caller frees the result. */
char *format_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* malloc for `count` items of `item_bytes` (zeroed), which ends the launcher (exit 7) instead of returning NULL. */
void *allocate(size_t count, size_t item_bytes);

/* Value of an environment variable, or NULL when it is unset or empty. */
const char *environment_text(const char *name);

#endif
