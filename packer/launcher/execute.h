/*
 * Hands over to the runtime: environment, arguments, and the program itself (execute_*.c).
 */
#ifndef PACKER_EXECUTE_H
#define PACKER_EXECUTE_H

#include "bundle.h"
#include "launcher.h"

/*
 * Run the runtime's program `chat` in place of this process or, where a system can't do that, as a child, and end with
 * its exit code. It gets our arguments and
 *   PACKER_BUNDLE       absolute path of the packed file
 *   PACKER_CACHE_ENTRY  directory of the unpacked runtime
 * On Linux also
 *   PACKER_LIBC                  host or carried
 *   PACKER_ORIG_LD_LIBRARY_PATH  LD_LIBRARY_PATH as it was, only if it was set
 *   LD_LIBRARY_PATH              where the libraries of that choice are
 * and on Windows
 *   PACKER_WINDOWED              1 when there is no console to print to
 *   PACKER_RESTART_PIPE          a handle, as a number: what the runtime writes there before it ends, it finds in
 *                                PACKER_RESTART when it is started once more
 * Returns (false, with the reason) only when that failed.
 */
bool execute_runtime(const struct bundle *bundle, const char *runtime_path, int num_arguments, char *const *arguments,
                     struct failure *failure);

#endif
