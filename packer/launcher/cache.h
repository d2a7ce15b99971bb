/*
 * The cache of unpacked runtimes: finds a complete one, or unpacks it into the first place that allows it.
 *
 * A runtime lives in <place>/<runtime id>/. It is unpacked into <place>/<runtime id>.tmp.<pid>.<random>/, flushed to
 * the disk and renamed, all under an exclusive lock on <place>/<runtime id>.lock. So a directory of that name is
 * complete, whatever was killed when; one that lost files later is noticed by their sizes and replaced.
 */
#ifndef PACKER_CACHE_H
#define PACKER_CACHE_H

#include "archive.h"
#include "bundle.h"
#include "launcher.h"

/* Give the path of the complete unpacked runtime (the caller frees it). */
bool cache_provide(const struct bundle *bundle, const struct archive *archive, char **runtime_path,
                   struct failure *failure);

#endif
