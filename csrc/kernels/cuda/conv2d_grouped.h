// What the kernels for small groups on tensor cores share. A product for each group would fill little of a tile, and
// copy a few bytes of each pixel. So a block takes several groups, a slab of 128 bytes of channels at most, and copies
// what a tile of a grid sees of them to shared memory, once for all taps. Nothing is multiplied across groups and then
// added, not even by zero: an Inf stays in its group.
#pragma once
#include <algorithm>

#include "kernels/cuda/async_copy.h"
#include "kernels/cuda/conv2d_grids.h"

namespace atrous {
namespace {

constexpr int kSlabBytes = 128;
constexpr int kTilePixels = 128;           // of a grid, at most
constexpr int64_t kGoodBytes = 48 * 1024;  // of a block's shared memory
constexpr int64_t kMostBytes = 96 * 1024;  // what every GPU with such tensor cores has

// Along an axis, a tile of `pixels` that are `step` apart sees this many, where taps reach `reach` further.
__host__ __device__ inline int seen(int pixels, int step, int reach) { return (pixels - 1) * step + reach + 1; }

__device__ inline int lowest(const Axis& axis) { return axis.tap < 0 ? (axis.taps - 1) * axis.tap : 0; }
__device__ inline int reach(const Axis& axis) { return (axis.taps - 1) * (axis.tap < 0 ? -axis.tap : axis.tap); }

// A block's tile of a grid.
struct GridTile {
  int rows, columns;  // pixels
  int down, across;   // tiles of a grid
  int seen_rows, seen_columns;
  int pitch, row_pitch;  // bytes from pixel to pixel of what is seen, and from row to row
  __host__ __device__ int pixels() const { return rows * columns; }
  __host__ __device__ int64_t view_bytes() const { return int64_t{seen_rows} * row_pitch; }
};

// Even parts of some `most` pixels.
inline int even_part(int64_t size, int64_t most) { return narrow(divide_up(size, divide_up(size, most))); }

// Pixels that a warp reads at a time are to lie in different banks, `unit` bytes of each, 16 or 32, that stand side by
// side, in the grid and across the end of its row.
inline void choose_pitch(int slab_bytes, int unit, int step, GridTile& tile) {
  constexpr int kBanks = 128;  // bytes
  const int odd_of = step % 2 != 0 ? unit : 16;
  tile.pitch = (narrow(divide_up(slab_bytes, odd_of)) | 1) * odd_of;
  const int bytes = tile.seen_columns * tile.pitch, end = tile.columns * tile.pitch;
  tile.row_pitch = bytes + ((end - bytes) % kBanks + kBanks) % kBanks;
}

// How far pixels of a grid are apart, and their outermost taps, along an axis.
struct Extent {
  int step, reach;
};

// A tile as large as shared memory allows, of no pixels where none fits: with room for four blocks on a multiprocessor,
// if there is such a one. `others`: bytes that the block needs besides.
inline GridTile choose_grid_tile(int64_t rows, int64_t columns, const Extent& h, const Extent& w, int slab_bytes,
                                 int unit, int64_t others) {
  for (const int64_t most : {kGoodBytes, kMostBytes})
    for (int pixels = kTilePixels; pixels >= 16; pixels /= 2) {
      GridTile tile{};
      tile.columns = even_part(columns, pixels == kTilePixels ? 16 : 8);
      tile.rows = even_part(rows, std::max(1, pixels / tile.columns));
      tile.down = narrow(divide_up(rows, tile.rows));
      tile.across = narrow(divide_up(columns, tile.columns));
      tile.seen_rows = seen(tile.rows, h.step, h.reach);
      tile.seen_columns = seen(tile.columns, w.step, w.reach);
      if (int64_t{tile.seen_rows} * tile.seen_columns * slab_bytes > most) continue;
      choose_pitch(slab_bytes, unit, w.step, tile);
      if (tile.view_bytes() + others <= most) return tile;
    }
  return {};
}

// Some pixels of an image, in shared memory.
struct View {
  int h, w, rows, columns;  // (h, w) is the first, maybe outside
  int pitch, row_pitch;
};

// i / divisor by a multiplication, where i * divisor < 2^31, as for pixels in shared memory: its multiplier is less
// than 1 too large, which adds less than 1 / divisor to the quotient.
struct ShortDivisor {
  int divisor;
  uint32_t multiplier;

  __device__ explicit ShortDivisor(int d) : divisor(d), multiplier(0x80000000u / static_cast<uint32_t>(d) + 1) {}
  __device__ int divide(int i) const { return static_cast<int>(__umulhi(2 * static_cast<uint32_t>(i), multiplier)); }
};

// Starts to copy `bytes` of each pixel, zeros up to the next 16 and for pixels outside. Copies are of 16 bytes or,
// where addresses allow no more, of 8.
template <int size, typename T>
__device__ void copy_view(const View& view, const T* image, int H, int W, int C, int bytes, char* to) {
  constexpr int kLanes = kSlabBytes / size, kAtOnce = kTileThreads / kLanes;
  const int at = static_cast<int>(threadIdx.x) % kLanes * size;
  if (at >= bytes + bytes % 16) return;
  const ShortDivisor columns(view.columns);
  const int pixel_bytes = C * static_cast<int>(sizeof(T)), pixels = view.rows * view.columns;
  const int width = at < bytes ? W : 0;
  const char* const from = reinterpret_cast<const char*>(image) + at;
  to += at;
  for (int pixel = static_cast<int>(threadIdx.x) / kLanes; pixel < pixels; pixel += kAtOnce) {
    const int row = columns.divide(pixel), column = pixel - row * view.columns;
    const int h = view.h + row, w = view.w + column;
    const auto place = static_cast<int>(static_cast<unsigned>(h) * static_cast<unsigned>(W) + static_cast<unsigned>(w));
    copy_async<size>(to + row * view.row_pitch + column * view.pitch, from + int64_t{place} * pixel_bytes,
                     is_inside(h, w, H, width));
  }
}

}  // namespace
}  // namespace atrous
