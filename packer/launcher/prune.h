/*
 * Keeps the cache from growing with every new version: runtimes that nothing has started for a season are removed.
 *
 * A start marks its runtime as used by the modification time of the runtime's directory, at most once a day. When a
 * new runtime is unpacked, the others in the same cache directory that were not used for UNUSED_AGE_S are removed.
 */
#ifndef PACKER_PRUNE_H
#define PACKER_PRUNE_H

#include "disk.h"
#include "launcher.h"

/* Mark the runtime `name` in the open cache directory as used now; where that is refused, it stays as it was. */
void prune_mark_used(const struct directory *directory, const char *name);

/* Remove the runtimes in the open cache directory, other than `keep`, that were not used for long. */
void prune_unused(const struct directory *directory, const char *keep);

#endif
