/*
 * Hands over to the runtime: environment, arguments, execve.
 */
#ifndef PACKER_EXECUTE_H
#define PACKER_EXECUTE_H

#include "bundle.h"
#include "launcher.h"
#include "libc_choice.h"

/*
 * Replace this process by the runtime's program `chat`. It gets our arguments and
 *   PACKER_BUNDLE                absolute path of the packed file
 *   PACKER_CACHE_ENTRY           directory of the unpacked runtime
 *   PACKER_LIBC                  host or carried
 *   PACKER_ORIG_LD_LIBRARY_PATH  LD_LIBRARY_PATH as it was, only if it was set
 *   LD_LIBRARY_PATH              where the libraries of that choice are
 * Returns (false, with the reason) only when that failed.
 */
bool execute_runtime(const struct bundle *bundle, const char *runtime_path, enum libc_choice choice, int num_arguments,
                     char *const *arguments, struct failure *failure);

#endif
