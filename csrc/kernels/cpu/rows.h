// Walks over the rows of a (P, C) matrix, a vector at a time, for reductions and maps along C of any size.
// For per-level units only.
#pragma once
#include <cstdint>

#include "core/parallel.h"
#include "core/simd.h"
#include "kernels/cpu/vector_math.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// Combines all lanes as a tree: f(f(0, 2), f(1, 3)) for four of them. Compilers turn the loop into one shuffle; halves
// read back from memory would keep the vector there through the whole loop before.
template <typename T, int half = Vec<T>::width / 2, typename F>
inline T fold_lanes(V<T> v, F f) {
  if constexpr (half == 0) {
    return v[0];
  } else {
    V<T> other{};
#pragma GCC unroll 16
    for (int lane = 0; lane < Vec<T>::width; ++lane) other[lane] = v[lane ^ half];
    return fold_lanes<T, half / 2>(f(v, other), f);
  }
}

// One row; the row pointers passed to its functions point to the row's first element.
template <typename T>
struct Row {
  static constexpr int width = Vec<T>::width;
  int64_t whole;    // elements in whole vectors
  int64_t rest;     // elements after them
  bool may_run_on;  // a vector at `whole` stays inside this piece of the matrix
  Bits<T> inside;   // the lanes below `rest`

  // The last, short vector. What its other lanes hold does not matter: in a store, the next row overwrites it.
  V<T> load_rest(const T* row) const { return may_run_on ? load(row + whole) : load_first(row + whole, rest); }
  void store_rest(T* row, V<T> v) const {
    if (may_run_on)
      store(row + whole, v);
    else
      store_first(row + whole, rest, v);
  }

  T max(const T* x) const {
    const V<T> lowest = broadcast<T>(-T(__builtin_inf()));
    V<T> m = lowest;
    for (int64_t c = 0; c < whole; c += width) m = larger(m, load(x + c));
    if (rest) m = larger(m, inside ? load_rest(x) : lowest);
    return fold_lanes<T>(m, [](auto a, auto b) { return a > b ? a : b; });
  }

  // sum_c f(inputs[c]...)
  template <typename F, typename... Inputs>
  T sum(F f, const Inputs*... inputs) const {
    V<T> total{};
    for (int64_t c = 0; c < whole; c += width) total += f(load(inputs + c)...);
    if (rest) total += inside ? f(load_rest(inputs)...) : V<T>{};
    return fold_lanes<T>(total, [](auto a, auto b) { return a + b; });
  }

  // y[c] = f(inputs[c]...)
  template <typename F, typename... Inputs>
  void map(F f, T* y, const Inputs*... inputs) const {
    for (int64_t c = 0; c < whole; c += width) store(y + c, f(load(inputs + c)...));
    if (rest) store_rest(y, f(load_rest(inputs)...));
  }

  // Both: returns the sum of what it stores.
  template <typename F, typename... Inputs>
  T map_sum(F f, T* y, const Inputs*... inputs) const {
    V<T> total{};
    for (int64_t c = 0; c < whole; c += width) {
      const V<T> v = f(load(inputs + c)...);
      store(y + c, v);
      total += v;
    }
    if (rest) {
      const V<T> v = f(load_rest(inputs)...);
      store_rest(y, v);
      total += inside ? v : V<T>{};
    }
    return fold_lanes<T>(total, [](auto a, auto b) { return a + b; });
  }

 private:
  static V<T> larger(V<T> a, V<T> b) { return a > b ? a : b; }
};

// Calls f(first, count, row_of) for blocks of at most kBlock consecutive rows, small enough for the first cache;
// row_of(p) is the walk over row p.
constexpr int64_t kBlock = 64;

template <typename T, typename F>
void for_row_blocks(int64_t P, int64_t C, F f) {
  constexpr int width = Vec<T>::width;
  constexpr int64_t piece_elements = 1 << 14, block_elements = 1 << 12;
  Row<T> row{C / width * width, C % width, false, {}};
  for (int lane = 0; lane < width; ++lane) row.inside[lane] = lane < row.rest ? -1 : 0;
  const int64_t block = max_of(1, min_of(kBlock, block_elements / max_of(C, 1)));
  const int64_t piece = P * C > 2 * piece_elements ? max_of(1, piece_elements / C) : max_of(P, 1);
  parallel_for(divide_up(P, piece), [&, row](int64_t i, int) {
    const int64_t last = min_of(P, (i + 1) * piece);
    // A vector that starts `rest` elements before the end of row p runs over (width - rest) elements of the next rows.
    const int64_t run_on_end = last - divide_up(width - row.rest, max_of(C, 1));
    const auto row_of = [&](int64_t p) { return Row<T>{row.whole, row.rest, p < run_on_end, row.inside}; };
    for (int64_t first = i * piece; first < last; first += block) f(first, min_of(block, last - first), row_of);
  });
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
