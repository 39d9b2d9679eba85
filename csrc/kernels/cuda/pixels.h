// What pooling, resizing and depthwise convolution share: a thread for some channels of a pixel of an NHWC tensor.
#pragma once
#include <cmath>
#include <type_traits>

#include "kernels/cuda/half.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pack.h"

namespace atrous {

// A divisor that many threads share. Dividends below 2^32 are multiplied instead (Granlund and Montgomery, "Division by
// invariant integers using multiplication", PLDI 1994, figure 4.1): a division takes longer than 16 bytes of memory do.
class Divisor {
 public:
  Divisor(int64_t d) : divisor_(d) {  // d > 0
    int bits = 0;
    while (bits < 32 && (int64_t{1} << bits) < d) ++bits;
    if (bits > 31) return;
    end_ = int64_t{1} << 32;
    multiplier_ = static_cast<uint32_t>(((((int64_t{1} << bits) - d) << 32) / d) + 1);
    shift_ = bits < 1 ? 0 : 1;
    last_shift_ = bits - shift_;
  }

  // dividend >= 0
  __device__ friend int64_t operator/(int64_t dividend, const Divisor& d) {
    if (dividend >= d.end_) return dividend / d.divisor_;
    const auto a = static_cast<uint32_t>(dividend);
    const uint32_t high = __umulhi(a, d.multiplier_);
    return (high + ((a - high) >> d.shift_)) >> d.last_shift_;
  }
  __host__ __device__ int64_t value() const { return divisor_; }

 private:
  int64_t divisor_, end_ = 0;  // of the dividends that may be multiplied
  uint32_t multiplier_ = 0;
  int shift_ = 0, last_shift_ = 0;
};

// The first of some channels of a pixel. `at` is its address.
struct Place {
  int64_t n, h, w, c, at;
};

template <int n, typename Job>
__global__ void pixels_kernel(int64_t threads, Divisor H, Divisor W, Divisor packs, Job job) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < threads; i += step) {
    const int64_t pixel = i / packs, row = pixel / W, image = row / H;
    job(Place{image, row - image * H.value(), pixel - row * W.value(), (i - pixel * packs.value()) * n, i * n});
  }
}

// Calls job(place) for each n channels of each pixel, neighbouring channels in neighbouring threads. n divides C.
template <int n, typename Job>
void for_pixels(int64_t N, int64_t H, int64_t W, int64_t C, const Job& job) {
  const int64_t threads = N * (C / n) * H * W;
  if (threads > 0) launch(pixels_kernel<n, Job>, blocks_for(threads), kThreads, threads, H, W, C / n, job);
}

// A block's share of the same threads, where neighbouring pixels read the same ones above, below and beside them: a
// tile, so that all but its edge comes from the block's first-level cache. It has some packs of channels, 128 bytes or
// a little less, of some pixels of a row, and of some rows; those of all images follow one another. All this follows
// from the sizes alone.
struct PixelTile {
  int columns, across, down;  // threads
  int64_t column_blocks, across_blocks;

  static PixelTile of(int64_t W, int64_t packs, int64_t most_columns) {
    PixelTile tile{0, 0, 0, divide_up(packs, most_columns), 0};
    const int64_t even = divide_up(packs, tile.column_blocks);
    tile.columns = static_cast<int>(tile.column_blocks > 1 ? even + even % 2 : even);  // whole sectors of 32 bytes
    const int threads = kThreads / tile.columns;
    for (const int most : {4, 8, 7, 6, 5, 3, 2}) {  // the first of those that leave the fewest threads idle
      const int across = static_cast<int>(W < most ? W : most), down = threads / across;
      const int64_t blocks = divide_up(W, across);
      if (tile.down == 0 || down * tile.across_blocks > tile.down * blocks)
        tile.across = across, tile.down = down, tile.across_blocks = blocks;
    }
    return tile;
  }
};

template <int n, typename Job>
__global__ void __launch_bounds__(kThreads, 2)
    tiles_kernel(PixelTile tile, Divisor column_blocks, Divisor across_blocks, int64_t rows, Divisor H, int64_t W,
                 int64_t packs, Job job) {
  const int line = static_cast<int>(threadIdx.x) / tile.columns, down = line / tile.across;
  const int64_t above = blockIdx.x / column_blocks, row_block = above / across_blocks;
  const int64_t pack = (blockIdx.x - above * column_blocks.value()) * tile.columns + threadIdx.x % tile.columns;
  const int64_t w = (above - row_block * across_blocks.value()) * tile.across + line % tile.across;
  const int64_t row = row_block * tile.down + down, image = row / H;
  if (down < tile.down && row < rows && w < W && pack < packs)
    job(Place{image, row - image * H.value(), w, pack * n, ((row * W + w) * packs + pack) * n});
}

// As for_pixels, in tiles.
template <int n, typename Job>
void for_tiles(int64_t N, int64_t H, int64_t W, int64_t C, const Job& job) {
  constexpr int64_t kColumns = n > 1 ? 8 : 32;  // of 16 bytes; of 4
  const int64_t packs = C / n, rows = N * H;
  if (rows * W * packs == 0) return;
  const PixelTile tile = PixelTile::of(W, packs, kColumns);
  const int64_t tiles = divide_up(rows, tile.down) * tile.across_blocks * tile.column_blocks;
  launch(tiles_kernel<n, Job>, static_cast<unsigned>(tiles), kThreads, tile, tile.column_blocks, tile.across_blocks,
         rows, H, W, packs, job);
}

template <int n, typename... Pointers>
inline bool may_be_packed(int64_t C, const Pointers*... pointers) {
  return C % n == 0 && ((reinterpret_cast<uintptr_t>(pointers) % (n * sizeof(Pointers)) == 0) && ...);
}

// Calls f(integral_constant<int, n>): 16 bytes of T where the channels and all addresses allow it, else one element.
template <typename T, typename F, typename... Pointers>
void with_packs(F f, int64_t C, const Pointers*... pointers) {
  constexpr int n = 16 / sizeof(T);
  if (may_be_packed<n>(C, pointers...))
    f(std::integral_constant<int, n>{});
  else
    f(std::integral_constant<int, 1>{});
}

// The largest value so far of each of n channels, and its position: the first of equals, the first NaN.
template <int n, typename T>
struct Largest {
  Pack<Compute<T>, n> value;
  Pack<int32_t, n> position;

  __device__ explicit Largest(int64_t first) {
    for (int i = 0; i < n; ++i) {
      value.v[i] = -static_cast<Compute<T>>(INFINITY);
      position.v[i] = static_cast<int32_t>(first);
    }
  }

  __device__ void see(const Pack<T, n>& stored, int64_t at) {
    const auto x = to_compute(stored);
    for (int i = 0; i < n; ++i) {
      const bool keep = x.v[i] <= value.v[i] || value.v[i] != value.v[i];
      value.v[i] = keep ? value.v[i] : x.v[i];
      position.v[i] = keep ? position.v[i] : static_cast<int32_t>(at);
    }
  }

  template <typename Integer>
  __device__ void store(T* y, Integer* positions) const {
    Pack<Integer, n> narrow;
    for (int i = 0; i < n; ++i) narrow.v[i] = static_cast<Integer>(position.v[i]);
    store_pack(y, round_to<T>(value));  // exact: it is one of them
    store_pack(positions, narrow);
  }
};

}  // namespace atrous
