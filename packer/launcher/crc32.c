/*
 * CRC-32, eight bytes a step ("slicing by 8": M. Kounavis and F. Berry, "A Systematic Approach to Building High
 * Performance, Software-based, CRC Generators", 2005).
 */
#include "crc32.h"

enum { NUM_SLICES = 8, NUM_BYTE_VALUES = 256 };
static const uint32_t polynomial = 0xEDB88320U;
static uint32_t tables[NUM_SLICES][NUM_BYTE_VALUES];

void crc32_prepare(void)
{
    for (uint32_t value = 0; value < NUM_BYTE_VALUES; value++) {
        uint32_t crc = value;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1U) ? polynomial : 0U);
        }
        tables[0][value] = crc;
    }
    for (int slice = 1; slice < NUM_SLICES; slice++) {
        for (int value = 0; value < NUM_BYTE_VALUES; value++) {
            uint32_t shorter = tables[slice - 1][value];
            tables[slice][value] = (shorter >> 8) ^ tables[0][shorter & 0xFFU];
        }
    }
}

uint32_t crc32_update(uint32_t crc, const uint8_t *data, size_t data_bytes)
{
    crc = ~crc;
    for (; data_bytes >= NUM_SLICES; data += NUM_SLICES, data_bytes -= NUM_SLICES) {
        crc ^= (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
        crc = tables[7][crc & 0xFFU] ^ tables[6][(crc >> 8) & 0xFFU] ^ tables[5][(crc >> 16) & 0xFFU] ^
              tables[4][crc >> 24] ^ tables[3][data[4]] ^ tables[2][data[5]] ^ tables[1][data[6]] ^
              tables[0][data[7]];
    }
    for (; data_bytes > 0; data++, data_bytes--) {
        crc = (crc >> 8) ^ tables[0][(crc ^ *data) & 0xFFU];
    }
    return ~crc;
}
