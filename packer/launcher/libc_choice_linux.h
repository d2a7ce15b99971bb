/*
 * Which C library the runtime runs with: the host's when it is new enough, else the one that travels along.
 *
 * The host's is better where it can be used: GPU drivers are linked against it.
 */
#ifndef PACKER_LIBC_CHOICE_H
#define PACKER_LIBC_CHOICE_H

#include "launcher.h"

enum libc_choice { LIBC_HOST, LIBC_CARRIED };

#define HOST_LOADER "/lib64/ld-linux-x86-64.so.2"
#define CARRIED_LOADER "libc/ld-linux-x86-64.so.2"

/*
 * Choose for the runtime unpacked at `runtime_path` by its file requires-glibc. PACKER_FORCE_LIBC=host or =carried
 * overrides. A runtime without a carried C library gets the host's.
 */
enum libc_choice libc_choose(const char *runtime_path);

/* "host" or "carried". */
const char *libc_choice_name(enum libc_choice choice);

#endif
