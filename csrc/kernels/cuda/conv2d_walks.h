// Depthwise convolution with K x K taps side by side. A block copies a tile of x with its border, zeros where the image
// ends, into shared memory, all of it under way at once. Then each thread walks down a strip of its columns: it reads
// and converts a number once, for all the output rows that it belongs to, whose sums are in registers.
#pragma once
#include <algorithm>

#include "kernels/cuda/async_copy.h"
#include "kernels/cuda/conv2d_axes.h"
#include "kernels/cuda/held.h"
#include "kernels/cuda/pixels.h"

namespace atrous {
namespace {

// Windows of K x K taps, S apart, as a thread sees them.
template <int K, int S>
struct Window {
  static constexpr int taps = K, stride = S;
  static constexpr int strip = 4;                    // output pixels of a thread side by side
  static constexpr int width = (strip - 1) * S + K;  // what they read of a row
  static constexpr int held = (K + S - 1) / S;       // output rows that a row of x belongs to
};

// Neighbouring channels of a thread: 4 bytes for 9 taps, one for 25, so that sums and filters fit the registers.
template <int K, typename T>
constexpr int kTapsChannels = K == 3 ? 4 / sizeof(T) : 1;
template <typename Window, typename T>
constexpr int kChannels = kTapsChannels<Window::taps, T>;

constexpr int kMostThreads = 7 * 32;  // the images of most networks are 7 times a power of two wide

// What bounds a tile.
constexpr int kMostStrips = 7;         // side by side
constexpr int kMostBytes = 56 * 1024;  // of shared memory: at least 4 blocks on a multiprocessor of Hopper
template <typename Window>
constexpr int kMostRows = Window::taps == 3 ? 12 : 10;  // output rows of a walk

// How blocks share the output pixels. A tile has some strips of some rows for as many packs of channels as it has
// lanes; `down` threads share a column, each with `rows` rows.
struct Cut {
  int C, H, W, image_h, image_w, padding_h, padding_w;  // H, W: of the output
  int lanes, strips, down, rows;
  int tile_h, tile_w;  // of x
  Divisor chunks, across, parts;
  int64_t tiles;  // of one chunk of channels

  int threads() const { return (lanes * strips * down + 31) / 32 * 32; }
  __device__ int rows_from(int top) const { return H - top < rows ? H - top : rows; }
  int64_t tile_pixels() const { return int64_t{tile_h} * tile_w; }
};

struct Sizes {
  int64_t N, C, H, W, image_h, image_w, padding_h, padding_w;  // H, W: of the output
};

// Lanes: 24 or 32, whichever leave fewer idle.
inline int lanes_of(int64_t C, int n) {
  const int64_t of_24 = divide_up(C, 24 * n) * 24, of_32 = divide_up(C, 32 * n) * 32;
  return of_24 < of_32 ? 24 : 32;
}

// For n channels of a thread. `outputs`: the tile of output pixels is in shared memory, too.
template <typename Window, int n, typename T>
Cut cut_of(const Sizes& s, bool outputs) {
  constexpr int S = Window::stride, K = Window::taps, held = Window::held;
  const int lanes = lanes_of(s.C, n), pixel = lanes * n * static_cast<int>(sizeof(T));
  int strips = 0, width = 0, tile_w = 0;
  const auto bytes = [&](int64_t rows) {
    return pixel * (((rows - 1) * S + K) * tile_w + (outputs ? rows * width : 0));
  };
  int64_t across = divide_up(divide_up(s.W, Window::strip), kMostStrips) - 1;
  do {
    strips = narrow(divide_up(divide_up(s.W, Window::strip), ++across));
    width = strips * Window::strip, tile_w = (width - 1) * S + K;
  } while (strips > 1 && bytes(held) > kMostBytes);
  int down = std::max(1, kMostThreads / (lanes * strips)), rows = held;
  down = narrow(std::min<int64_t>(down, divide_up(s.H, held)));
  while (down > 1 && bytes(int64_t{down} * held) > kMostBytes) --down;
  while (rows + held <= kMostRows<Window> && bytes(int64_t{down} * (rows + held)) <= kMostBytes) rows += held;
  const int64_t parts = divide_up(s.H, down * rows);
  rows = narrow(divide_up(divide_up(divide_up(s.H, parts), down), held)) * held;  // evenly
  return {narrow(s.C),
          narrow(s.H),
          narrow(s.W),
          narrow(s.image_h),
          narrow(s.image_w),
          narrow(s.padding_h),
          narrow(s.padding_w),
          lanes,
          strips,
          down,
          rows,
          (down * rows - 1) * S + K,
          tile_w,
          divide_up(s.C, lanes * n),
          across,
          divide_up(s.H, down * rows),
          s.N * across * divide_up(s.H, down * rows)};
}

// Where a tile is.
struct Tile {
  int64_t image;
  int top, left;  // its first output pixel

  template <typename Window>
  __device__ static Tile of(const Cut& cut, int64_t index) {
    const int64_t above = index / cut.across, image = above / cut.parts;
    const auto part = static_cast<int>(above - image * cut.parts.value());
    const auto column = static_cast<int>(index - above * cut.across.value());
    return {image, part * cut.down * cut.rows, column * cut.strips * Window::strip};
  }
};

// Starts to copy height x width pixels of `channels` channels from (top, left) of an image into shared memory.
// `left_of` channels of C are left. Packs: of 16 bytes; else single numbers, at once. A thread stays in its columns.
template <int channels, bool packs, typename T>
__device__ void copy_tile(const T* image, int rows, int columns, int C, int left_of, int top, int left, int height,
                          int width, T* to) {
  constexpr int n = packs ? 16 / static_cast<int>(sizeof(T)) : 1, of_pixel = channels / n;
  const int first = static_cast<int>(threadIdx.x) / 32, warps = static_cast<int>(blockDim.x) / 32;
  const int64_t step = int64_t{warps} * columns * C;
  const T* const line = image + int64_t{top + first} * columns * C;
  for (int i = static_cast<int>(threadIdx.x) % 32; i < width * of_pixel; i += 32) {
    const int pixel = i / of_pixel, c = (i - pixel * of_pixel) * n, column = left + pixel;
    const bool inside = column >= 0 && column < columns && c < left_of;
    const T* from = line + (column * C + c);
    T* place = to + first * width * channels + i * n;
    for (int h = first; h < height; h += warps, from += step, place += warps * width * channels) {
      const bool exists = inside && top + h >= 0 && top + h < rows;
      if constexpr (packs)
        copy_async<16>(place, from, exists);
      else
        *place = exists ? *from : T{};
    }
  }
}

// Numbers of `width` pixels, n channels of each, `apart` from one another.
template <int width, int n, int apart, typename T>
__device__ void read_row(const T* from, Compute<T> (&numbers)[width][n]) {
#pragma unroll
  for (int i = 0; i < width; ++i) {
    const auto held = hold<Pack<T, n>>(from + i * apart);
#pragma unroll
    for (int j = 0; j < n; ++j) numbers[i][j] = number(held, j);
  }
}

// The filters of n channels, where they exist; (C, taps) in memory.
template <int taps, int n, typename T>
__device__ void read_filters(const T* weight, int c, int C, bool reversed, Compute<T> (&filters)[taps][n]) {
  const int step = reversed ? -1 : 1;
#pragma unroll
  for (int j = 0; j < n; ++j) {
    const T* from = weight + int64_t{c + j} * taps + (reversed ? taps - 1 : 0);
#pragma unroll
    for (int i = 0; i < taps; ++i) filters[i][j] = c + j < C ? to_compute(from[i * step]) : Compute<T>(0);
  }
}

// f(window) with the Window for these sizes; false where there is none.
template <typename T, typename F>
bool with_window(const Conv2dShape& s, F&& f) {
  if constexpr (sizeof(T) <= 4) {
    constexpr int64_t kMost = int64_t{1} << 30;  // numbers of a row with its border, which 32 bits count
    const bool counted = (s.IW + 2 * s.pw + 64) * s.IC < kMost && (s.OW + s.KW + 64) * s.IC < kMost;
    const int64_t H = std::max(s.IH, s.OH), W = std::max(s.IW, s.OW);
    const bool enough = s.N * (H / 3 + 1) * (W / 4 + 1) * (s.IC / 24 + 1) < int64_t{1} << 31;  // blocks
    if (counted && enough && s.KH == s.KW && s.sh == s.sw && s.dh == 1 && s.dw == 1) {
      if (s.KH == 3 && s.sh == 1) return f(Window<3, 1>{}), true;
      if (s.KH == 3 && s.sh == 2) return f(Window<3, 2>{}), true;
      if (s.KH == 5 && s.sh == 1) return f(Window<5, 1>{}), true;
      if (s.KH == 5 && s.sh == 2) return f(Window<5, 2>{}), true;
    }
  }
  return false;
}

// f(integral_constant of the lanes).
template <typename F>
void with_lanes(int lanes, F&& f) {
  if (lanes == 24)
    f(std::integral_constant<int, 24>{});
  else
    f(std::integral_constant<int, 32>{});
}

}  // namespace
}  // namespace atrous
