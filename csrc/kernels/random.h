// random: Philox4x32-10, a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011).  Reference: reference/random.py
//   bits[i] = word (offset + i) % 4 of the block b = (offset + i) / 4,
//   block b = ten Philox rounds of the counter (b lo, b hi, stream lo, stream hi) under the key (seed lo, seed hi).
// Every word depends on its position alone, so any cut of the work gives the same bits. bits is overwritten.
#pragma once
#include <cstdint>

#include "core/level.h"

namespace atrous {

struct RandomKernels {
  void (*bits)(uint64_t seed, uint64_t stream, uint64_t offset, int64_t count, uint32_t* bits);
};

template <Level L>
RandomKernels random_kernels();  // specialised in {cpu,cuda}/random.*, once per level

}  // namespace atrous
