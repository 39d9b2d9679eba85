// What pooling and resizing share: vectors that fit the channels of a pixel, however few they are, and loops over them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "core/parallel.h"
#include "core/simd.h"
#include "kernels/cpu/far.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// W elements of T, with the integers that their comparisons give.
template <typename T, int W>
struct Lanes {
  using Element = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  typedef T Vector __attribute__((vector_size(W * sizeof(T))));
  typedef Element Integers __attribute__((vector_size(W * sizeof(T))));
  typedef T Unaligned __attribute__((vector_size(W * sizeof(T)), aligned(alignof(T)), may_alias));

  static Vector load(const T* p) { return *reinterpret_cast<const Unaligned*>(p); }
  static void store(T* p, Vector v) { *reinterpret_cast<Unaligned*>(p) = v; }

  template <typename Small>
  static void store_integers(Small* p, Integers v) {
    store_low(p, v, std::make_integer_sequence<int, W>{});
  }

 private:
  // The low parts of the lanes, little-endian: a shuffle, as compilers convert vectors to bytes lane by lane.
  template <typename Small, int... lanes>
  static void store_low(Small* p, Integers v, std::integer_sequence<int, lanes...>) {
    constexpr int step = sizeof(Element) / sizeof(Small);
    typedef Small Parts __attribute__((vector_size(W * sizeof(T))));
    typedef Small ToUnaligned __attribute__((vector_size(W * sizeof(Small)), aligned(alignof(Small)), may_alias));
    *reinterpret_cast<ToUnaligned*>(p) = __builtin_shufflevector((Parts)v, (Parts)v, (lanes * step)...);
  }
};

// The largest value so far and its position, lane by lane.
template <typename T, int W>
struct Largest {
  using L = Lanes<T, W>;
  typename L::Vector value;
  typename L::Integers position;

  void see(typename L::Vector v, int64_t at) {
    const auto keep = (v <= value) | (value != value);  // the first of equals, the first NaN
    value = keep ? value : v;
    position = keep ? position : typename L::Integers{} + static_cast<typename L::Element>(at);
  }
};

// Calls f(integral_constant<int, i>) for i = 0 ... N - 1.
template <int N, typename F>
inline void unrolled(F&& f) {
  if constexpr (N > 0) {
    unrolled<N - 1>(f);
    f(std::integral_constant<int, N - 1>{});
  }
}

// Calls f(integral_constant<int, W>) with the widest W of the level that is at most C.
template <typename T, int W = Vec<T>::width, typename F>
inline void with_width(int64_t C, F&& f) {
  if constexpr (W == 1) {
    f(std::integral_constant<int, 1>{});
  } else {
    if (C >= W)
      f(std::integral_constant<int, W>{});
    else
      with_width<T, W / 2>(C, f);
  }
}

// With few channels, W < C < 2 * W, one vector of `wide` lanes holds a pixel and the first lanes of the next one. Such
// a vector may be loaded where there is a next pixel, and stored where that is written later by the same thread.
template <typename T, int W>
constexpr int wide = 2 * W <= Vec<T>::width ? 2 * W : W;

template <typename T, int W>
inline bool runs_on(int64_t C) {
  return W < wide<T, W> && W < C;
}

// Calls f(c) for vectors of W channels. The last one may overlap the one before and do some channels twice: f reads no
// output. W > C: one vector, which runs on into the next pixel.
template <int W, typename F>
inline void for_channels(int64_t C, F&& f) {
  if (C < W) return f(0);
  for (int64_t c = 0; c < C; c += W) f(min_of(c, C - W));
}

// Calls f(row) for every row of about `elements` elements, done W at a time: several rows a piece where they are short,
// and one piece where starting threads would cost as much as the work.
template <int W, typename F>
inline void for_rows(int64_t rows, int64_t elements, F&& f) {
  constexpr int64_t kVectorsPerPiece = 1 << 12, kVectorsWorthThreads = 1 << 14;
  const int64_t vectors = max_of(1, elements / W);
  const int64_t rows_per_piece =
      rows < kVectorsWorthThreads / vectors ? max_of(1, rows) : max_of(1, kVectorsPerPiece / vectors);
  parallel_for(divide_up(rows, rows_per_piece), [&](int64_t piece, int) {
    const int64_t first = piece * rows_per_piece;
    for (int64_t row = first; row < min_of(rows, first + rows_per_piece); ++row) f(row);
  });
}

// Calls f(n, first, last) for every image, 64 channels [first, last) at a time.
template <typename F>
inline void for_images(int64_t N, int64_t C, int64_t pixels, F&& f) {
  const int64_t step = 64, parts = divide_up(C, step);
  for_rows<1>(N * parts, pixels * min_of(C, step), [&](int64_t part) {
    const int64_t first = part % parts * step;
    f(part / parts, first, min_of(C, first + step));
  });
}

template <typename T>
inline void clear_channels(T* image, int64_t pixels, int64_t C, int64_t first, int64_t last) {
  if (last - first == C)
    __builtin_memset(image, 0, static_cast<size_t>(pixels * C) * sizeof(T));
  else
    for (int64_t i = 0; i < pixels; ++i)
      __builtin_memset(image + i * C + first, 0, static_cast<size_t>(last - first) * sizeof(T));
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
