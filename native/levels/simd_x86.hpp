// Vector intrinsics of x86. With ISOHASH_EMULATE they are computed by portable code instead, so
// that kernels can be tested on machines that lack the instructions (see emulation/).
#pragma once

#ifdef ISOHASH_EMULATE
#include "levels/emulation/avx512_amx.hpp"
#define ISOHASH_TARGET(features)
#else
#include <immintrin.h>
// gcc 12 takes its own headers' deliberately undefined vectors for uninitialised ones.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#define ISOHASH_TARGET(features) __attribute__((target(features)))
#endif
