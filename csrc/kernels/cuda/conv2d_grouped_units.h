// How a warp multiplies small groups on tensor cores: windows (pixels, K) by filters (K, filters), for each group, with K
// its taps and channels. The windows lie in shared memory as pieces of pixels, which taps may share. A unit is what a
// warp has in registers: the sums of 64 pixels and of the filters of some groups, so that a filter is read once for all
// of them and a window once for 16 filters.
//   Which of the instruction's K a piece's numbers stand for is nothing to a sum, if both factors agree.
#pragma once
#include "kernels/cuda/conv2d_grouped.h"
#include "kernels/cuda/mma.h"

namespace atrous {
namespace {

constexpr int kSets = 4;            // of 16 pixels
constexpr int kBatch = 16 * kSets;  // pixels of a unit
constexpr int kStepBytes = 32;      // of a window: K of mma

// What a unit has: `groups` groups, and of each `tiles` x 8 filters; and the bytes of a piece. Pieces of 16 bytes come by
// ldmatrix, two a step: of all sets of lanes, the lower half has one and the upper half the next. Where a group has no
// more than 8 bytes, there are four a step, of four lanes side by side; a lane then reads what two groups have there.
template <int groups_, int tiles_, int piece_>
struct Way {
  static constexpr int groups = groups_, tiles = tiles_, piece = piece_;
  static constexpr bool narrow = piece == 8;
  static constexpr int fours = groups * tiles / 2;  // of registers that a lane has of a step's filters
};

using WayOfFours = Way<4, 1, 8>;
using WayOfEights = Way<2, 1, 16>;
using WayOfMore = Way<1, 2, 16>;

using Four = Pack<uint32_t, 4>;

// Zeros for a lane that has no tap here, where others of its pixel have one: in another bank.
__device__ inline int zero_place(int at) { return at & (kSlabBytes - 1); }

// Where a lane's pieces are, by pixels: the windows' beginnings; behind `certain` steps, those that do not exist are
// zeros.
template <typename Way>
struct Windows {
  const char* from[Way::narrow ? 2 * kSets : kSets];
  const char* zeros;
  int group_bytes;
};

template <typename Way>
struct UnitSums {
  float v[kSets][Way::groups][Way::tiles][4] = {};
};

// A set's windows of each group, of this step.
template <bool certain, typename Way>
__device__ void load_windows(const Windows<Way>& windows, int set, int at, uint32_t (&to)[Way::groups][4]) {
  const auto place = [&](const char* from) { return certain || at >= 0 ? from + at : windows.zeros; };
  if constexpr (Way::narrow) {
    const char *const upper = place(windows.from[2 * set]), *const lower = place(windows.from[2 * set + 1]);
#pragma unroll
    for (int g = 0; g < Way::groups; g += 2) {
      const Four above = load_as<Four>(upper + 8 * g), below = load_as<Four>(lower + 8 * g);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        to[g + k / 2][k % 2 * 2] = above.v[k];
        to[g + k / 2][k % 2 * 2 + 1] = below.v[k];
      }
    }
  } else {
    const char* const first = place(windows.from[set]);
#pragma unroll
    for (int g = 0; g < Way::groups; ++g) load_matrices(first + g * windows.group_bytes, to[g]);
  }
}

template <bool certain, typename T, typename Way>
__device__ void multiply_step(const Windows<Way>& windows, int at, const Four (&filters)[Way::fours],
                              UnitSums<Way>& sums) {
#pragma unroll
  for (int set = 0; set < kSets; ++set) {
    uint32_t of_groups[Way::groups][4];
    load_windows<certain>(windows, set, at, of_groups);
#pragma unroll
    for (int g = 0; g < Way::groups; ++g) {
      if constexpr (!is_half<T>)
        for (uint32_t& number : of_groups[g]) number = to_tf32<false>(number);
#pragma unroll
      for (int j = 0; j < Way::tiles; ++j) {
        const int i = g * Way::tiles + j;
        const uint32_t columns[2] = {filters[i / 2].v[i % 2 * 2], filters[i / 2].v[i % 2 * 2 + 1]};
        float* const c = sums.v[set][g][j];
        multiply_add<T>(c[0], c[1], c[2], c[3], of_groups[g], columns);
      }
    }
  }
}

// `pieces`: the offsets of this lane's pieces, kStepBytes / Way::piece apart. The filters of a step are on their way
// while those before are multiplied; behind the last step is room for one more.
template <typename T, typename Way>
__device__ void multiply(const Windows<Way>& windows, const int* pieces, int certain, int steps, const Four* fragments,
                         UnitSums<Way>& sums) {
  constexpr int kPieces = kStepBytes / Way::piece;
  fragments += threadIdx.x % 32;
  Four next[Way::fours];
  const auto load = [&](int step) {
#pragma unroll
    for (int i = 0; i < Way::fours; ++i) next[i] = load_as<Four>(fragments + (step * Way::fours + i) * 32);
  };
  load(0);
  for (int step = 0; step < steps; ++step) {
    Four filters[Way::fours];
#pragma unroll
    for (int i = 0; i < Way::fours; ++i) filters[i] = next[i];
    load(step + 1);
    const int at = pieces[kPieces * step];
    if (step < certain)
      multiply_step<true, T>(windows, at, filters, sums);
    else
      multiply_step<false, T>(windows, at, filters, sums);
  }
}

// In a row of sums, where channel number c of `channels` is: fours by turns in two halves, so that neither pairs that
// are written nor fours that are read in order meet in one bank.
struct RowOfSums {
  int half;  // floats

  __host__ __device__ explicit RowOfSums(int channels) : half((channels + 7) / 8 * 4 + 4) {}
  __host__ __device__ int pitch() const { return 2 * half; }
  __device__ int place(int c) const { return c / 8 * 4 + c % 4 + (c & 4 ? half : 0); }
};

// Of `groups` groups, from `channel` on, the filters from first_filter on.
template <typename Way>
__device__ void put_sums(const UnitSums<Way>& sums, int groups, int channel, int first_filter, int filters,
                         const RowOfSums& row, float* to) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  to += lane / 4 * row.pitch();
#pragma unroll
  for (int g = 0; g < Way::groups; ++g)
#pragma unroll
    for (int j = 0; j < Way::tiles; ++j) {
      const int filter = first_filter + 8 * j + 2 * (lane % 4), c = channel + g * filters + filter;
      if (g >= groups || filter >= filters) continue;
      float* const first = to + row.place(c);
      float* const second = to + row.place(c + 1);
      const bool both = filter + 1 < filters, together = filters % 2 == 0;
#pragma unroll
      for (int i = 0; i < 2 * kSets; ++i) {  // of 8 pixels
        const float* const two = sums.v[i / 2][g][j] + i % 2 * 2;
        const int at = 8 * i * row.pitch();
        if (together) {
          store_as(first + at, Pack<float, 2>{{two[0], two[1]}});
        } else {
          first[at] = two[0];
          if (both) second[at] = two[1];
        }
      }
    }
}

}  // namespace
}  // namespace atrous
