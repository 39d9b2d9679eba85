// What the kernels for small groups on tensor cores share. A product for each group would fill little of a tile, and
// copy a few bytes of each pixel. So a block takes several groups, a slab of 128 bytes of channels at most, and copies
// what a tile of a grid sees of them to shared memory, once for all taps. What is not finite stays in its group.
#pragma once
#include <algorithm>
#include <utility>

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
  int phase, phases;     // columns of what is seen that are a step apart, and lie side by side; sets of such
  int pitch, row_pitch;  // bytes from pixel to pixel of what is seen, and from row to row
  __host__ __device__ int pixels() const { return rows * columns; }
  __host__ __device__ int64_t view_bytes() const { return int64_t{seen_rows} * row_pitch; }
};

// Even parts of some `most` pixels.
inline int even_part(int64_t size, int64_t most) { return narrow(divide_up(size, divide_up(size, most))); }

// How far pixels of a grid are apart, and their outermost taps, along an axis.
struct Extent {
  int step, reach;
};

// Of what pixels see: bytes of each, and how many a warp reads side by side, 16 or 32.
struct Slab {
  int bytes, unit;
};

// Pixels that a warp reads at a time are to lie in different banks, in the grid and across the end of its row.
inline void choose_pitch(const Slab& slab, const Extent& h, const Extent& w, GridTile& tile) {
  constexpr int kBanks = 128;  // bytes
  tile.phase = narrow(divide_up(tile.seen_columns, w.step)), tile.phases = std::min(w.step, tile.seen_columns);
  tile.pitch = (narrow(divide_up(slab.bytes, slab.unit)) | 1) * slab.unit;
  const int bytes = tile.phase * tile.phases * tile.pitch, end = tile.columns * tile.pitch;
  tile.row_pitch = bytes;
  for (int more = 0; more < kBanks; more += 16)
    if ((int64_t{bytes + more} * h.step - end) % kBanks == 0) {
      tile.row_pitch = bytes + more;
      break;
    }
}

// What a block needs for a tile: shared memory and, about, the instructions of a warp but for the copies.
struct TileCost {
  int64_t bytes;
  int instructions;
};

// The tile that takes the fewest instructions, all in all: of those with room for four blocks on a multiprocessor, if
// there is such a one, and of 33 to 128 pixels. None of any pixels where none fits.
template <typename F>
GridTile choose_grid_tile(int64_t rows, int64_t columns, const Extent& h, const Extent& w, const Slab& slab,
                          const F& cost_of) {
  constexpr int kOfACopy = 22, kAtOnce = kTileThreads * 16 / kSlabBytes;  // instructions; pixels
  GridTile best{};
  int64_t least = 0;
  for (const int64_t most : {kGoodBytes, kMostBytes})
    for (int pixels = kTilePixels; pixels >= 16; pixels /= 2) {
      if (best.pixels() > 0 && (pixels < 64 || most > kGoodBytes)) return best;
      int before = 0;
      for (const int across : {8, 16, 32}) {
        GridTile tile{};
        tile.columns = even_part(columns, std::min(across, pixels));
        if (tile.columns == std::exchange(before, tile.columns)) continue;
        tile.rows = even_part(rows, pixels / tile.columns);
        tile.down = narrow(divide_up(rows, tile.rows));
        tile.across = narrow(divide_up(columns, tile.columns));
        tile.seen_rows = seen(tile.rows, h.step, h.reach);
        tile.seen_columns = seen(tile.columns, w.step, w.reach);
        const int64_t seen_pixels = int64_t{tile.seen_rows} * tile.seen_columns;
        if (seen_pixels * slab.bytes > most) continue;
        choose_pitch(slab, h, w, tile);
        const TileCost cost = cost_of(tile);
        const int64_t of_block = cost.instructions + kOfACopy * divide_up(seen_pixels, kAtOnce);
        const int64_t all = int64_t{tile.down} * tile.across * of_block;
        if (cost.bytes <= most && (best.pixels() == 0 || all < least)) best = tile, least = all;
      }
    }
  return best;
}

// Some pixels of an image, in shared memory. Columns a step apart lie side by side: a phase, and behind it the next.
struct View {
  int h, w, rows;  // (h, w) is the first, maybe outside
  int step, phase, phases;
  int pitch, row_pitch;

  __device__ int place(int row, int column) const {
    const int across = step == 1 ? column : column / step;
    return row * row_pitch + ((column - across * step) * phase + across) * pitch;
  }
};

// What the pixels of a grid from (row, column) on see.
__device__ inline View view_of(const GridTile& tile, const Axis& h, const Axis& w, int row, int column) {
  return {row * h.step + h.first + lowest(h),
          column * w.step + w.first + lowest(w),
          seen(tile.rows, h.step, reach(h)),
          w.step,
          w.step == 1 ? seen(tile.columns, 1, reach(w)) : tile.phase,
          tile.phases,
          tile.pitch,
          tile.row_pitch};
}

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
  constexpr unsigned kLanes = kSlabBytes / size, kAtOnce = kTileThreads / kLanes;
  const int at = static_cast<int>(threadIdx.x % kLanes) * size;
  if (at >= bytes + bytes % 16) return;
  const ShortDivisor columns(view.phase);
  const auto pixel_bytes = static_cast<uint32_t>(C * static_cast<int>(sizeof(T)));
  const int width = at < bytes ? W : 0, pixels = view.rows * view.phase;
  const char* const from = reinterpret_cast<const char*>(image) + at;
  to += at;
#pragma unroll 1
  for (int first = 0; first < view.phases; ++first, to += view.phase * view.pitch)
#pragma unroll 2
    for (int pixel = static_cast<int>(threadIdx.x / kLanes); pixel < pixels; pixel += kAtOnce) {
      const int row = columns.divide(pixel), column = pixel - row * view.phase;
      const int h = view.h + row, w = view.w + first + column * view.step;
      const auto place = static_cast<uint32_t>(h) * static_cast<uint32_t>(W) + static_cast<uint32_t>(w);
      copy_async<size>(to + row * view.row_pitch + column * view.pitch, from + uint64_t{place} * pixel_bytes,
                       is_inside(h, w, H, width));
    }
}

}  // namespace
}  // namespace atrous
