// A convolution in small groups as units see it (conv2d_grouped_units.h), and its filters in the order in which they
// read them.
#pragma once
#include "kernels/cuda/conv2d_grouped_units.h"

namespace atrous {
namespace {

constexpr int kZeroBytes = 128;

// Channels and filters are those of groups as they are multiplied: of one of the convolution's or, where these are
// small, of a pair.
template <typename T>
struct Layer {
  const T* images;  // (N, rows, columns, C)
  int N, C, OC;
  int groups, channels, filters;  // channels in whole pieces
  int filters_of_one;             // of the convolution's groups
  int rows, columns;              // of a grid
  int parts, slab, slabs;
  GridTile tile;
  int steps, units;   // of the longest part's K; of a slab
  int runs;           // of units, for a group's filters: 1 or 2
  bool packed;        // images, 16 bytes at a time
  bool plain;         // sums are stored as they are
  bool sums_in_view;  // with which the block is done by then

  __host__ __device__ int group_bytes() const { return channels * static_cast<int>(sizeof(T)); }
  __host__ __device__ int pieces() const { return group_bytes() / kPieceBytes; }
  __host__ __device__ bool pair() const { return filters > filters_of_one; }
  __host__ __device__ int members() const { return pair() ? 2 : 1; }
  __host__ __device__ int64_t fragments() const { return int64_t{slabs} * units * steps * 32; }  // of a part
  __host__ __device__ RowOfSums row_of_sums() const { return RowOfSums(slab * filters); }
  __host__ __device__ int sums_bytes() const { return 4 * kBatch * row_of_sums().pitch(); }
  __host__ __device__ int table_bytes() const { return kZeroBytes + (8 + 4) * kTilePixels + (steps + 1) / 2 * 16; }
  __host__ __device__ int64_t room_of_view() const {
    return sums_in_view && tile.view_bytes() < sums_bytes() ? sums_bytes() : tile.view_bytes();
  }
  // A unit's second group is read where there is none, too, behind the last pixel's: kSlabBytes.
  int bytes() const { return narrow(table_bytes() + room_of_view()) + (sums_in_view ? kSlabBytes : sums_bytes()); }
};

// Where piece number i of K is: a tap, and a piece of its channels.
struct PlaceInK {
  int kh, kw, piece;
  bool exists;

  __device__ PlaceInK(const Field& field, int pieces, int i) {
    const int tap = i / pieces;
    piece = i - tap * pieces;
    exists = tap < field.taps();
    kh = exists ? tap / field.w.taps : 0;
    kw = tap - kh * field.w.taps;
  }
};

// The numbers of a register of filters: at one tap, for one filter of a group, the channels from `channel` on.
template <int n, typename T>
__device__ void load_filters(const Layer<T>& layer, const Filters<T>& filters, int64_t group, int64_t tap, int filter,
                             int channel, T* to) {
  const int channels = layer.channels / layer.members(), member = channel / channels;
  group = group * layer.members() + member, channel -= member * channels, filter -= 4 * member;
  if (filter < 0 || filter >= layer.filters_of_one || group * channels >= layer.C) return;
  const T* from = filters.weight + group * filters.group + tap * filters.tap + filter * filters.filter;
  for (int j = 0; j < n; ++j)
    if (channel + j < filters.channels) to[j] = from[(channel + j) * filters.channel];
}

// What each lane has of the filters, in the order in which warps read them: (part, slab, unit, step).
template <typename T, typename Way, typename Grid>
__global__ void fragments_kernel(Layer<T> layer, Grid grid, Filters<T> filters, Four* fragments) {
  constexpr int n = 4 / sizeof(T);  // numbers of a register
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= layer.parts * layer.fragments()) return;
  const int64_t units = i / 32 / layer.steps, slabs = units / layer.units;
  const int step = static_cast<int>(i / 32 - units * layer.steps), unit = static_cast<int>(units - slabs * layer.units);
  const int part = static_cast<int>(slabs / layer.slabs), slab = static_cast<int>(slabs - int64_t{part} * layer.slabs);
  const int lane = lane_of(), set = unit / layer.runs;
  const Field field = grid.field(static_cast<unsigned>(part));
  Pack<T, 4 * n> numbers{};
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const PlaceInK place(field, layer.pieces(), 2 * step + k % 2);
    const int of_slab = set * Way::groups + k / 2 / Way::tiles;
    const int filter = ((unit - set * layer.runs) * Way::tiles + k / 2 % Way::tiles) * 8 + lane / 4;
    if (!place.exists || of_slab >= layer.slab) continue;
    load_filters<n>(layer, filters, int64_t{slab} * layer.slab + of_slab, field.tap(place.kh, place.kw, filters.KW),
                    filter, (place.piece * 4 + lane % 4) * n, numbers.v + k * n);
  }
  Four bits;
  memcpy(&bits, &numbers, 16);
  if constexpr (!is_half<T>)
    for (uint32_t& number : bits.v) number = to_tf32<false>(number);
  fragments[i] = bits;
}

}  // namespace
}  // namespace atrous
