// The NEON level, for 64-bit ARM: cnt counts the bits of sixteen bytes at once.

#include "levels/kernels.hpp"

#if defined(__aarch64__) && defined(__GNUC__)

#include <arm_neon.h>

#include <algorithm>
#include <cstring>

namespace isohash {
namespace {

constexpr int64_t vector_bytes = 16;
constexpr int64_t prefetch_bytes = 2048;

// Differing bits of bytes [first, last), a multiple of 16, as four sums.
inline uint32x4_t differing(const uint8_t *a, const uint8_t *b, int64_t first, int64_t last) {
    constexpr int64_t fit = 31 * vector_bytes; // a byte holds 31 counts of up to 8
    uint32x4_t total = vdupq_n_u32(0);
    while (first < last) {
        uint8x16_t bytes = vdupq_n_u8(0);
        for (const int64_t end = std::min(last, first + fit); first < end; first += vector_bytes)
            bytes = vaddq_u8(bytes, vcntq_u8(veorq_u8(vld1q_u8(a + first), vld1q_u8(b + first))));
        total = vpadalq_u16(total, vpaddlq_u8(bytes));
    }
    return total;
}

inline int32_t differing_word(const uint8_t *a, const uint8_t *b) {
    return vaddlv_u8(vcnt_u8(veor_u8(vld1_u8(a), vld1_u8(b))));
}

// Four sums of four -> the four totals.
inline uint32x4_t four_totals(const uint32x4_t v[4]) {
    return vpaddq_u32(vpaddq_u32(v[0], v[1]), vpaddq_u32(v[2], v[3]));
}

void hamming(const Shape &shape, const uint8_t *query, const uint8_t *codes, int64_t m,
             int32_t *out) {
    const int64_t row = shape.row_bytes, whole = row / vector_bytes * vector_bytes;
    int64_t i = 0;
    for (; i + 4 <= m; i += 4) {
        const uint8_t *code = codes + i * row;
        __builtin_prefetch(code + prefetch_bytes);
        uint32x4_t sums[4];
        for (int r = 0; r < 4; r++) sums[r] = differing(query, code + r * row, 0, whole);
        int32_t totals[4];
        vst1q_s32(totals, vreinterpretq_s32_u32(four_totals(sums)));
        for (int r = 0; r < 4; r++)
            out[i + r] = totals[r] +
                         (whole < row ? differing_word(query + whole, code + r * row + whole) : 0);
    }
    for (; i < m; i++) {
        const uint8_t *code = codes + i * row;
        out[i] = static_cast<int32_t>(vaddvq_u32(differing(query, code, 0, whole)));
        if (whole < row) out[i] += differing_word(query + whole, code + whole);
    }
}

// ---- symbols of a byte, or of half a byte ----

// min(d, q - d) with d = |a - b|; for q = 256 the difference wraps to 0 at d = 0, as it should.
inline uint8x16_t lee_steps(uint8x16_t a, uint8x16_t b, uint8x16_t q) {
    const uint8x16_t d = vabdq_u8(a, b);
    return vminq_u8(d, vsubq_u8(q, d));
}

inline uint32x4_t lee_sums(uint8x16_t a, uint8x16_t b, uint8x16_t q) {
    return vpaddlq_u16(vpaddlq_u8(lee_steps(a, b, q)));
}

inline uint32x4_t sums_of_squares(uint8x16_t steps) {
    const uint8x8_t low = vget_low_u8(steps);
    return vpadalq_u16(vpaddlq_u16(vmull_u8(low, low)), vmull_high_u8(steps, steps));
}

inline uint32x4_t squared_lee_sums(uint8x16_t a, uint8x16_t b, uint8x16_t q) {
    return sums_of_squares(lee_steps(a, b, q));
}

inline uint32x4_t absolute_sums(uint8x16_t a, uint8x16_t b, uint8x16_t) {
    return vpaddlq_u16(vpaddlq_u8(vabdq_u8(a, b)));
}

inline uint32x4_t squared_sums(uint8x16_t a, uint8x16_t b, uint8x16_t) {
    return sums_of_squares(vabdq_u8(a, b));
}

inline uint32x4_t different_sums(uint8x16_t a, uint8x16_t b, uint8x16_t) {
    const uint8x16_t one = vdupq_n_u8(1);
    return vpaddlq_u16(vpaddlq_u8(vminq_u8(veorq_u8(a, b), one)));
}

using SymbolSums = uint32x4_t (*)(uint8x16_t, uint8x16_t, uint8x16_t);

// The sums of 16 bytes of symbols, one or two a byte.
template <SymbolSums sums, bool two_a_byte>
inline uint32x4_t sums_of_bytes(uint8x16_t a, uint8x16_t b, uint8x16_t q) {
    if (!two_a_byte) return sums(a, b, q);
    const uint8x16_t low = vdupq_n_u8(15);
    return vaddq_u32(sums(vandq_u8(a, low), vandq_u8(b, low), q),
                     sums(vshrq_n_u8(a, 4), vshrq_n_u8(b, 4), q));
}

template <SymbolSums sums, bool two_a_byte>
void symbol_distances(const Shape &shape, const uint8_t *query, const uint8_t *codes, int64_t m,
                      int32_t *out) {
    const uint8x16_t q = vdupq_n_u8(static_cast<uint8_t>(shape.q));
    const int64_t width = shape.row_bytes, whole = width / vector_bytes * vector_bytes;
    uint8_t pads[2][vector_bytes] = {}; // equal padding adds nothing
    std::memcpy(pads[0], query + whole, static_cast<size_t>(width - whole));
    for (int64_t i = 0; i < m; i++) {
        const uint8_t *code = codes + i * width;
        uint32x4_t all = vdupq_n_u32(0);
        for (int64_t j = 0; j < whole; j += vector_bytes)
            all = vaddq_u32(
                all, sums_of_bytes<sums, two_a_byte>(vld1q_u8(query + j), vld1q_u8(code + j), q));
        if (whole < width) {
            std::memcpy(pads[1], code + whole, static_cast<size_t>(width - whole));
            all = vaddq_u32(
                all, sums_of_bytes<sums, two_a_byte>(vld1q_u8(pads[0]), vld1q_u8(pads[1]), q));
        }
        out[i] = static_cast<int32_t>(vaddvq_u32(all));
    }
}

// ---- symbols of two bytes ----

using Steps = uint16x8_t (*)(uint16x8_t, uint16x8_t, uint16x8_t);

inline uint16x8_t wide_apart(uint16x8_t a, uint16x8_t b, uint16x8_t) { return vabdq_u16(a, b); }

inline uint16x8_t wide_lee(uint16x8_t a, uint16x8_t b, uint16x8_t q) {
    const uint16x8_t d = vabdq_u16(a, b);
    return vminq_u16(d, vsubq_u16(q, d));
}

inline uint16x8_t wide_different(uint16x8_t a, uint16x8_t b, uint16x8_t) {
    return vminq_u16(vabdq_u16(a, b), vdupq_n_u16(1));
}

template <bool squared> inline uint32x4_t add_steps(uint32x4_t all, uint16x8_t steps) {
    if (!squared) return vpadalq_u16(all, steps);
    const uint16x4_t low = vget_low_u16(steps);
    return vmlal_high_u16(vmlal_u16(all, low, low), steps, steps);
}

inline uint16x8_t load_wide(const uint8_t *p) { return vreinterpretq_u16_u8(vld1q_u8(p)); }

template <Steps steps, bool squared>
void wide_distances(const Shape &shape, const uint8_t *query, const uint8_t *codes, int64_t m,
                    int32_t *out) {
    const uint16x8_t q = vdupq_n_u16(static_cast<uint16_t>(shape.q));
    const int64_t width = shape.row_bytes, whole = width / vector_bytes * vector_bytes;
    uint8_t pads[2][vector_bytes] = {}; // equal padding adds nothing
    std::memcpy(pads[0], query + whole, static_cast<size_t>(width - whole));
    for (int64_t i = 0; i < m; i++) {
        const uint8_t *code = codes + i * width;
        uint32x4_t all = vdupq_n_u32(0);
        for (int64_t j = 0; j < whole; j += vector_bytes)
            all = add_steps<squared>(all, steps(load_wide(query + j), load_wide(code + j), q));
        if (whole < width) {
            std::memcpy(pads[1], code + whole, static_cast<size_t>(width - whole));
            all = add_steps<squared>(all, steps(load_wide(pads[0]), load_wide(pads[1]), q));
        }
        out[i] = static_cast<int32_t>(vaddvq_u32(all));
    }
}

template <SymbolSums sums, Steps steps, bool squared>
void symbols(const Shape &shape, const uint8_t *query, const uint8_t *codes, int64_t m,
             int32_t *out) {
    if (shape.symbol_bits == 8)
        symbol_distances<sums, false>(shape, query, codes, m, out);
    else if (shape.symbol_bits == 4)
        symbol_distances<sums, true>(shape, query, codes, m, out);
    else
        wide_distances<steps, squared>(shape, query, codes, m, out);
}

int64_t find_below(const int32_t *distances, int64_t start, int64_t m, int32_t limit) {
    const int32x4_t limits = vdupq_n_s32(limit);
    int64_t i = start;
    for (; i + 8 <= m; i += 8) {
        const uint32x4_t low = vcltq_s32(vld1q_s32(distances + i), limits);
        const uint32x4_t high = vcltq_s32(vld1q_s32(distances + i + 4), limits);
        if (vmaxvq_u32(vorrq_u32(low, high))) break;
    }
    while (i < m && distances[i] >= limit) i++;
    return i;
}

int32_t least(const int32_t *distances, int64_t m) { return least_of(distances, m); }

const Level level = {
    {hamming, symbols<lee_sums, wide_lee, false>, symbols<squared_lee_sums, wide_lee, true>,
     symbols<different_sums, wide_different, false>, symbols<absolute_sums, wide_apart, false>,
     symbols<squared_sums, wide_apart, true>},
    {},
    find_below,
    least};

} // namespace

const Level *neon_level() { return &level; } // every 64-bit ARM processor has it

} // namespace isohash

#else

namespace isohash {
const Level *neon_level() { return nullptr; }
} // namespace isohash

#endif
