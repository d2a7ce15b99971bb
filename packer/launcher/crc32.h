/*
 * CRC-32 as ZIP defines it (APPNOTE 4.4.7: reflected polynomial 0xEDB88320).
 */
#ifndef PACKER_CRC32_H
#define PACKER_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Fill the tables; call once before any thread uses crc32_update(). */
void crc32_prepare(void);

/* CRC-32 of the bytes seen so far (`crc`, 0 at the start) followed by `data`. */
uint32_t crc32_update(uint32_t crc, const uint8_t *data, size_t data_bytes);

#endif
