// Symbols of unequal widths, packed without gaps.

#include "isohash.h"

namespace isohash {
namespace {

uint64_t lowest_bits(uint64_t value, int width) { return value & ((UINT64_C(1) << width) - 1); }

void pack_row(const uint16_t *symbols, int64_t length, const uint8_t *widths, uint8_t *out,
              const uint8_t *end) {
    uint64_t waiting = 0; // its lowest `n` bits are not written yet
    int n = 0;
    for (int64_t j = 0; j < length; j++) {
        waiting = waiting << widths[j] | lowest_bits(symbols[j], widths[j]);
        for (n += widths[j]; n >= 8; n -= 8) *out++ = static_cast<uint8_t>(waiting >> (n - 8));
    }
    if (n) *out++ = static_cast<uint8_t>(waiting << (8 - n));
    while (out < end) *out++ = 0;
}

void unpack_row(const uint8_t *packed, int64_t length, const uint8_t *widths, uint16_t *symbols) {
    uint64_t waiting = 0; // its lowest `n` bits are not used yet
    int n = 0;
    for (int64_t j = 0; j < length; j++) {
        for (; n < widths[j]; n += 8) waiting = waiting << 8 | *packed++;
        n -= widths[j];
        symbols[j] = static_cast<uint16_t>(lowest_bits(waiting >> n, widths[j]));
    }
}

// The width of all symbols where they are of one width, else 0.
int one_width(const uint8_t *widths, int64_t length) {
    for (int64_t j = 1; j < length; j++)
        if (widths[j] != widths[0]) return 0;
    return length ? widths[0] : 0;
}

void pack_half_bytes(const uint16_t *symbols, int64_t pairs, uint8_t *out) {
    for (int64_t j = 0; j < pairs; j++)
        out[j] = static_cast<uint8_t>(symbols[2 * j] << 4 | (symbols[2 * j + 1] & 15));
}

void pack_bytes(const uint16_t *symbols, int64_t length, uint8_t *out) {
    for (int64_t j = 0; j < length; j++) out[j] = static_cast<uint8_t>(symbols[j]);
}

} // namespace
} // namespace isohash

void isohash_pack(const uint16_t *symbols, int64_t n, int64_t length, const uint8_t *widths,
                  int64_t row_bytes, uint8_t *packed) {
    const int width = isohash::one_width(widths, length);
    for (int64_t i = 0; i < n; i++, packed += row_bytes, symbols += length) {
        if (width == 4 && length == 2 * row_bytes)
            isohash::pack_half_bytes(symbols, row_bytes, packed);
        else if (width == 8 && length == row_bytes)
            isohash::pack_bytes(symbols, length, packed);
        else
            isohash::pack_row(symbols, length, widths, packed, packed + row_bytes);
    }
}

void isohash_unpack(const uint8_t *packed, int64_t n, int64_t length, const uint8_t *widths,
                    int64_t row_bytes, uint16_t *symbols) {
    for (int64_t i = 0; i < n; i++, packed += row_bytes)
        isohash::unpack_row(packed, length, widths, symbols + i * length);
}
