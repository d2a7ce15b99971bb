/*
 * Signing a Windows program (Authenticode) appends a signature to the file: the archive then ends before it.
 */
#ifndef PACKER_PE_SIGNATURE_H
#define PACKER_PE_SIGNATURE_H

#include "bundle.h"

/* A signature starts at a multiple of eight; so many zeros may stand between the archive and it. */
enum { PE_SIGNATURE_MAX_PADDING = 7 };

/*
 * Give the length of the file without the signature at its end, zeros before it still counted. It is the whole length
 * for a file that isn't a PE program, isn't signed, or whose security directory doesn't end with the file.
 * Source: Microsoft, "PE Format", optional header data directories, and "The Attribute Certificate Table".
 */
bool pe_signature_start(const struct bundle *bundle, uint64_t *start_bytes, struct failure *failure);

#endif
