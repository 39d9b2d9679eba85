// How a warp multiplies small groups on tensor cores: windows (pixels, K) by filters (K, filters), for each group, with
// K its taps and channels. The windows lie in shared memory as pieces of 16 bytes, wherever the taps see them. A unit
// is what a warp has in registers: the sums of 64 pixels and of some groups' filters, so that a filter is read once for
// all of them, and a window once for 16 filters.
//   Groups of no more than 8 bytes go in pairs, as one group whose filters are zeros where the other's channels are.
//   Zero
// times what is not finite is NaN: where a sum is NaN, each of the two is multiplied again, with zeros for the other's
// channels, too. All other sums are those of the group alone.
#pragma once
#include "kernels/cuda/conv2d_grouped.h"
#include "kernels/cuda/mma.h"

namespace atrous {
namespace {

constexpr int kSets = 4;            // of 16 pixels
constexpr int kBatch = 16 * kSets;  // pixels of a unit
constexpr int kPieceBytes = 16;
constexpr int kStepBytes = 2 * kPieceBytes;  // of a window: K of mma

// What a unit has: some groups, and of each so many times 8 filters.
template <int groups_, int tiles_>
struct Way {
  static constexpr int groups = groups_, tiles = tiles_;
  static_assert(groups * tiles == 2);
};
using WayOfEights = Way<2, 1>;
using WayOfMore = Way<1, 2>;

using Four = Pack<uint32_t, 4>;  // what a lane has of a step's filters: two registers of 8, two of the next

// Where a lane's pieces are, by sets of pixels: the windows' beginnings.
struct Windows {
  const char* from[kSets];
  const char* zeros;
  int group_bytes;
  int part;  // of a pair of groups, which alone is to be seen; -1: all there is
};

template <typename Way>
struct UnitSums {
  float v[kSets][Way::groups][Way::tiles][4] = {};
};

__device__ inline int lane_of() { return static_cast<int>(threadIdx.x) % 32; }

enum class Step { whole, with_gaps, of_part };  // without one piece, maybe; and what the other part has is zeros

template <Step kind, typename T, typename Way>
__device__ void multiply_step(const Windows& windows, int at, const Four& filters, UnitSums<Way>& sums) {
#pragma unroll
  for (int set = 0; set < kSets; ++set) {
    const char* const from = kind == Step::whole || at >= 0 ? windows.from[set] + at : windows.zeros;
#pragma unroll
    for (int g = 0; g < Way::groups; ++g) {
      uint32_t window[4];
      load_matrices(from + g * windows.group_bytes, window);
      if constexpr (kind == Step::of_part)
        for (uint32_t& numbers : window) numbers = lane_of() % 4 / 2 == windows.part ? numbers : 0;
      if constexpr (!is_half<T>)
        for (uint32_t& number : window) number = to_tf32<false>(number);
#pragma unroll
      for (int j = 0; j < Way::tiles; ++j) {
        const uint32_t* const registers = filters.v + 2 * (g * Way::tiles + j);
        const uint32_t columns[2] = {registers[0], registers[1]};
        float* const c = sums.v[set][g][j];
        multiply_add<T>(c[0], c[1], c[2], c[3], window, columns);
      }
    }
  }
}

// `pieces`: the offsets of this lane's, -1 for one that does not exist, as none of the first `whole` steps. The filters
// of a step are on their way while those before are multiplied; behind the last step is room for one more.
template <typename T, typename Way>
__device__ void multiply(const Windows& windows, const int* pieces, int whole, int steps, const Four* filters,
                         UnitSums<Way>& sums) {
  filters += lane_of();
  Four next = load_as<Four>(filters);
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    const Four these = next;
    next = load_as<Four>(filters += 32);
    const int at = pieces[2 * step];
    if (Way::groups > 1 && windows.part >= 0)
      multiply_step<Step::of_part, T>(windows, at, these, sums);
    else if (step < whole)
      multiply_step<Step::whole, T>(windows, at, these, sums);
    else
      multiply_step<Step::with_gaps, T>(windows, at, these, sums);
  }
}

// Whether there may be a NaN among the warp's sums.
template <typename Way>
__device__ bool may_have_nan(const UnitSums<Way>& sums) {
  float total = 0;
#pragma unroll
  for (int i = 0; i < kSets; ++i)
#pragma unroll
    for (int j = 0; j < 8; ++j) total += sums.v[i][j / 4 / Way::tiles][j / 4 % Way::tiles][j % 4];
  return __any_sync(~0u, total != total);
}

// In a row of sums, where channel number c of `channels` is: fours by turns in two halves, so that neither pairs that
// are written nor fours that are read in order meet in one bank.
struct RowOfSums {
  int half;  // floats

  __host__ __device__ explicit RowOfSums(int channels) : half((channels + 7) / 8 * 4 + 4) {}
  __host__ __device__ int pitch() const { return 2 * half; }
  __device__ int place(int c) const { return c / 8 * 4 + c % 4 + (c & 4 ? half : 0); }
};

// Some filters of a group, whose numbers in pairs are pairs in a row, too.
struct FilterRange {
  int first, end;
  bool in_pairs;
  __device__ bool has(int filter) const { return first <= filter && filter < end; }
};

// Sums of `groups` groups, `filters` apart from `channel` on; those of a unit are from `filter` on.
template <typename Way>
__device__ void put_sums(const UnitSums<Way>& sums, int groups, int channel, int filters, int filter,
                         const FilterRange& range, const RowOfSums& row, float* to) {
  to += lane_of() / 4 * row.pitch();
  filter += 2 * (lane_of() % 4);
#pragma unroll
  for (int g = 0; g < Way::groups; ++g)
#pragma unroll
    for (int j = 0; j < Way::tiles; ++j) {
      const int left = filter + 8 * j, c = channel + g * filters + left;
      const bool has_left = g < groups && range.has(left), has_right = g < groups && range.has(left + 1);
      const auto put = [&](float* first, auto of_eight) {  // pixels: the first of them is this lane's
#pragma unroll
        for (int i = 0; i < 2 * kSets; ++i)
          store_as(first + 8 * i * row.pitch(), of_eight(sums.v[i / 2][g][j] + i % 2 * 2));
      };
      if (range.in_pairs) {
        if (has_left) put(to + row.place(c), [](const float* two) { return Pack<float, 2>{{two[0], two[1]}}; });
        continue;
      }
      if (has_left) put(to + row.place(c), [](const float* two) { return two[0]; });
      if (has_right) put(to + row.place(c + 1), [](const float* two) { return two[1]; });
    }
}

}  // namespace
}  // namespace atrous
