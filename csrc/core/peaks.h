// What this machine can do at best, measured: the two lines of a roofline, and how far its cores are from each other.
#pragma once
#include <cstdint>

#include "core/level.h"

namespace atrous {

// float32 operations a second in 1e9: independent multiply-adds on full vectors held in registers, at the level in
// force, all threads, the best of several runs.
double peak_fma_gflops(int threads);

// Bytes a second in 1e9, read + written: memcpy between arrays larger than any cache, all threads, the best of several.
double peak_copy_gbs(int threads);

// The time in which a cache line that two threads write in turn crosses to the other core, in nanoseconds: the lower
// quartile, since a busy machine lets the threads take turns. 0 where there is one core.
double core_to_core_ns();

struct PeakKernels {
  float (*multiply_adds)(int64_t steps, float seed);  // its result is used, so that no work is left out
  int64_t operations;                                 // of a step; a multiply-add is two
};

template <Level L>
PeakKernels peak_kernels();  // specialised in kernels/cpu/peaks.cpp, once per level

}  // namespace atrous
