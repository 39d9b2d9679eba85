// How a warp multiplies small groups on tensor cores: windows (pixels, K) by filters (K, filters), for each group, with
// K its taps and channels. The windows lie in shared memory as pieces of 16 bytes, wherever the taps see them. A unit
// is what a warp has in registers: the sums of 64 pixels and of some groups' filters, so that a filter is read once for
// all of them, and a window once for 16 filters.
//   Groups of no more than 8 bytes go in pairs, as one group of eight filters, which are zeros where the other member's
// channels are. Zero times what is not finite is NaN: where a sum is NaN, each member is multiplied again, with zeros
// for the other's channels, too. All other sums are those of the group alone.
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

  // `whole`: no piece is missing; else `at` may be -1.
  template <bool whole>
  __device__ const char* place(int set, int at) const {
    return whole || at >= 0 ? from[set] + at : zeros;
  }
};

template <typename Way>
struct SetSums {
  float v[Way::groups][Way::tiles][4] = {};
};
template <typename Way>
struct UnitSums {
  SetSums<Way> sets[kSets];
};

__device__ inline int lane_of() { return static_cast<int>(threadIdx.x % 32); }

// Of a pair, whose channels and filters a lane has.
__device__ inline int member_of_lane() { return lane_of() % 4 / 2; }

// `all`: else, of a pair, this member's channels alone.
template <bool all, typename T, typename Way>
__device__ void multiply_set(const char* window, int group_bytes, const Four& filters, int member, SetSums<Way>& sums) {
#pragma unroll
  for (int g = 0; g < Way::groups; ++g) {
    uint32_t rows[4];
    load_matrices(window + g * group_bytes, rows);
    if constexpr (!all)
      for (uint32_t& numbers : rows) numbers = member_of_lane() == member ? numbers : 0;
    if constexpr (!is_half<T>)
      for (uint32_t& number : rows) number = to_tf32<false>(number);
#pragma unroll
    for (int j = 0; j < Way::tiles; ++j) {
      const uint32_t* const registers = filters.v + 2 * (g * Way::tiles + j);
      const uint32_t columns[2] = {registers[0], registers[1]};
      float* const c = sums.v[g][j];
      multiply_add<T>(c[0], c[1], c[2], c[3], rows, columns);
    }
  }
}

template <bool whole, typename T, typename Way>
__device__ void multiply_step(const Windows& windows, int at, const Four& filters, UnitSums<Way>& sums) {
#pragma unroll
  for (int set = 0; set < kSets; ++set)
    multiply_set<true, T>(windows.place<whole>(set, at), windows.group_bytes, filters, 0, sums.sets[set]);
}

// `pieces`: the offsets of this lane's, -1 for one that is missing, as none of the first `whole` steps is: all, or all
// but the last. The filters of a step are on their way while those before are multiplied; behind the last step is room
// for one more.
template <typename T, typename Way>
__device__ void multiply(const Windows& windows, const int* pieces, int whole, int steps, const Four* filters,
                         UnitSums<Way>& sums) {
  filters += lane_of();
  Four next = load_as<Four>(filters);
#pragma unroll 2
  for (int step = 0; step < whole; ++step, pieces += 2) {
    const Four these = next;
    next = load_as<Four>(filters += 32);
    multiply_step<true, T>(windows, *pieces, these, sums);
  }
  if (whole < steps) multiply_step<false, T>(windows, *pieces, next, sums);
}

// Whether there may be a NaN among the warp's sums.
template <typename Way>
__device__ bool may_have_nan(const UnitSums<Way>& sums) {
  float total = 0;
#pragma unroll
  for (const SetSums<Way>& set : sums.sets)
#pragma unroll
    for (int j = 0; j < 8; ++j) total += set.v[j / 4 / Way::tiles][j / 4 % Way::tiles][j % 4];
  return __any_sync(~0u, total != total);
}

// The sums of pairs again, member by member: for what is not finite, and rare.
template <typename T, typename Way>
__device__ void multiply_members(const Windows& windows, const int* pieces, int steps, const Four* filters,
                                 UnitSums<Way>& sums) {
  filters += lane_of();
#pragma unroll 1
  for (int i = 0; i < 2 * kSets; ++i) {
    const int set = i / 2, member = i % 2;
    const char* from = windows.from[0];
#pragma unroll
    for (int k = 1; k < kSets; ++k) from = set == k ? windows.from[k] : from;
    SetSums<Way> of_member;
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      const int at = pieces[2 * step];
      multiply_set<false, T>(at >= 0 ? from + at : windows.zeros, windows.group_bytes,
                             load_as<Four>(filters + 32 * step), member, of_member);
    }
#pragma unroll
    for (int k = 0; k < kSets; ++k)
      if (k == set && member_of_lane() == member) sums.sets[k] = of_member;
  }
}

// In a row of sums, where channel number c of `channels` is: fours by turns in two halves, so that neither pairs that
// are written nor fours that are read in order meet in one bank.
struct RowOfSums {
  int half;  // floats

  __host__ __device__ explicit RowOfSums(int channels) : half((channels + 7) / 8 * 4 + 4) {}
  __host__ __device__ int pitch() const { return 2 * half; }
  __device__ int place(int c) const { return (c & ~7) / 2 + (c & 3) + (c & 4 ? half : 0); }
};

// Some groups' filters: `count` for each, of a pair for each member.
struct Filtered {
  int groups, channel, count;  // the first group's first channel
  bool pair;
};

// Sums of a unit, whose filters are those from `first` on.
template <typename Way>
__device__ void put_sums(const UnitSums<Way>& sums, const Filtered& filtered, int first, const RowOfSums& row,
                         float* to) {
  to += lane_of() / 4 * row.pitch();
  const int filter = first + (filtered.pair ? lane_of() % 2 : lane_of() % 4) * 2;
#pragma unroll
  for (int g = 0; g < Way::groups; ++g)
#pragma unroll
    for (int j = 0; j < Way::tiles; ++j) {
      const int left = filter + 8 * j, group = filtered.pair ? 2 * g + member_of_lane() : g;
      const int c = filtered.channel + group * filtered.count + left;
      if (group >= filtered.groups || left >= filtered.count) continue;
      const auto put = [&](float* pixel, auto of_eight) {  // pixels: this lane's is the first of them, then the next
#pragma unroll
        for (int i = 0; i < 2 * kSets; ++i)
          store_as(pixel + 8 * i * row.pitch(), of_eight(sums.sets[i / 2].v[g][j] + i % 2 * 2));
      };
      if (filtered.count % 2 == 0) {
        put(to + row.place(c), [](const float* two) { return Pack<float, 2>{{two[0], two[1]}}; });
        continue;
      }
      put(to + row.place(c), [](const float* two) { return two[0]; });
      if (left + 1 < filtered.count) put(to + row.place(c + 1), [](const float* two) { return two[1]; });
    }
}

}  // namespace
}  // namespace atrous
