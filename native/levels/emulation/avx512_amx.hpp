// AVX-512 and AMX for machines without them: only for tests, and slow.
//
// SIMDe (Debian: libsimde-dev) gives most intrinsics under their own names; what it lacks is
// spelled out here after Intel's intrinsics guide.
#pragma once

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/gfni.h>

#include <cpuid.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#ifndef __AVX512F__
using __mmask8 = uint8_t;
using __mmask16 = uint16_t;
using __mmask64 = uint64_t;
#endif

namespace isohash_emulation {

inline simde__m512i make(const void *p) {
    simde__m512i v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

inline simde__m512i shuffle_i64x2(simde__m512i a, simde__m512i b, int control) {
    uint64_t from[2][8], to[8];
    std::memcpy(from[0], &a, sizeof a);
    std::memcpy(from[1], &b, sizeof b);
    for (int quarter = 0; quarter < 4; quarter++) {
        const int chosen = control >> (2 * quarter) & 3;
        for (int word = 0; word < 2; word++)
            to[2 * quarter + word] = from[quarter / 2][2 * chosen + word];
    }
    return make(to);
}

// Only the words of the mask are read.
inline simde__m512i maskz_loadu_epi64(unsigned mask, const void *p) {
    uint64_t to[8] = {};
    for (int i = 0; i < 8; i++)
        if (mask >> i & 1) std::memcpy(to + i, static_cast<const uint64_t *>(p) + i, 8);
    return make(to);
}

inline simde__m512i maskz_loadu_epi8(uint64_t mask, const void *p) {
    uint8_t to[64] = {};
    for (int i = 0; i < 64; i++)
        if (mask >> i & 1) to[i] = static_cast<const uint8_t *>(p)[i];
    return make(to);
}

inline int64_t reduce_add_epi64(simde__m512i v) {
    uint64_t words[8], sum = 0;
    std::memcpy(words, &v, sizeof v);
    for (const uint64_t word : words) sum += word;
    return static_cast<int64_t>(sum);
}

inline uint16_t cmpgt_epi32_mask(simde__m512i a, simde__m512i b) {
    int32_t left[16], right[16];
    std::memcpy(left, &a, sizeof a);
    std::memcpy(right, &b, sizeof b);
    unsigned mask = 0;
    for (int i = 0; i < 16; i++) mask |= static_cast<unsigned>(left[i] > right[i]) << i;
    return static_cast<uint16_t>(mask);
}

inline simde__m512i madd_epi16(simde__m512i a, simde__m512i b) {
    int16_t left[32], right[32];
    std::memcpy(left, &a, sizeof a);
    std::memcpy(right, &b, sizeof b);
    int32_t to[16];
    for (int i = 0; i < 16; i++)
        to[i] = left[2 * i] * right[2 * i] + left[2 * i + 1] * right[2 * i + 1];
    return make(to);
}

// ---- AMX ----

struct Tile {
    uint8_t rows[16][64];
};
inline thread_local Tile tiles[8];
inline thread_local bool configured = false;

struct Config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

// Kernels use full tiles only.
inline void tile_loadconfig(const void *p) {
    Config config;
    std::memcpy(&config, p, sizeof config);
    for (int i = 0; i < 8; i++)
        if (config.palette != 1 || config.row_bytes[i] != 64 || config.rows[i] != 16) std::abort();
    configured = true;
}

inline void tile_release() { configured = false; }

inline Tile &tile(int number) {
    if (!configured) std::abort();
    return tiles[number];
}

inline void tile_loadd(int to, const void *base, int64_t stride) {
    for (int r = 0; r < 16; r++)
        std::memcpy(tile(to).rows[r], static_cast<const uint8_t *>(base) + r * stride, 64);
}

inline void tile_stored(int from, void *base, int64_t stride) {
    for (int r = 0; r < 16; r++)
        std::memcpy(static_cast<uint8_t *>(base) + r * stride, tile(from).rows[r], 64);
}

// c[m][n] += sum over k and i of a[m][4k + i] * b[k][4n + i], signed bytes into 32 bits.
inline void tile_dpbssd(int c, int a, int b) {
    for (int m = 0; m < 16; m++)
        for (int n = 0; n < 16; n++) {
            int32_t sum;
            std::memcpy(&sum, tile(c).rows[m] + 4 * n, 4);
            for (int k = 0; k < 16; k++)
                for (int i = 0; i < 4; i++)
                    sum += static_cast<int8_t>(tile(a).rows[m][4 * k + i]) *
                           static_cast<int8_t>(tile(b).rows[k][4 * n + i]);
            std::memcpy(tile(c).rows[m] + 4 * n, &sum, 4);
        }
}

} // namespace isohash_emulation

#undef _mm512_shuffle_i64x2
#undef _mm512_maskz_loadu_epi64
#undef _mm512_maskz_loadu_epi8
#undef _mm512_reduce_add_epi64
#undef _mm512_madd_epi16
#undef _mm512_cmpgt_epi32_mask
#define _mm512_shuffle_i64x2 isohash_emulation::shuffle_i64x2
#define _mm512_maskz_loadu_epi64 isohash_emulation::maskz_loadu_epi64
#define _mm512_maskz_loadu_epi8 isohash_emulation::maskz_loadu_epi8
#define _mm512_reduce_add_epi64 isohash_emulation::reduce_add_epi64
#define _mm512_madd_epi16 isohash_emulation::madd_epi16
#define _mm512_cmpgt_epi32_mask isohash_emulation::cmpgt_epi32_mask
#define _tile_loadconfig isohash_emulation::tile_loadconfig
#define _tile_release isohash_emulation::tile_release
#define _tile_loadd isohash_emulation::tile_loadd
#define _tile_stored isohash_emulation::tile_stored
#define _tile_dpbssd isohash_emulation::tile_dpbssd
