// A square block of a matrix, as many rows as a vector has lanes, transposed in registers.
#pragma once
#include <utility>

#include "core/simd.h"
#include "kernels/cpu/vector_math.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// Lane by lane, within each `block` of lanes: a group of a, then one of b; from the first or the second half of the
// block.
constexpr int interleaved_lane(int lane, int width, int block, int group, bool second) {
  const int at = lane % block, turn = at / group;
  return turn % 2 * width + lane - at + turn / 2 * group + at % group + (second ? block / 2 : 0);
}

template <int block, int group, typename T, int... lanes>
[[gnu::always_inline]] inline void interleave(V<T>& a, V<T>& b, std::integer_sequence<int, lanes...>) {
  constexpr int W = Vec<T>::width;
  const V<T> first = a, second = b;
  a = __builtin_shufflevector(first, second, interleaved_lane(lanes, W, block, group, false)...);
  b = __builtin_shufflevector(first, second, interleaved_lane(lanes, W, block, group, true)...);
}

// Each step is one instruction: blocks of 16 bytes and more change places, elements within 16 bytes are interleaved.
template <typename T, int distance = Vec<T>::width / 2>
[[gnu::always_inline]] inline void turn(V<T>* rows) {
  constexpr int B = 16 / sizeof(T), block = distance >= B ? 2 * distance : B, group = distance >= B ? distance : 1;
#pragma GCC unroll 16
  for (int i = 0; i < Vec<T>::width; ++i)
    if (!(i & distance))
      interleave<block, group, T>(rows[i], rows[i + distance], std::make_integer_sequence<int, Vec<T>::width>{});
  if constexpr (distance > 1) turn<T, distance / 2>(rows);
}

// columns[j] is column j of the block whose rows lie `stride` apart.
template <typename T>
[[gnu::always_inline]] inline void load_turned(const T* block, int64_t stride, V<T>* columns) {
#pragma GCC unroll 16
  for (int i = 0; i < Vec<T>::width; ++i) columns[i] = load(block + i * stride);
  turn<T>(columns);
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
