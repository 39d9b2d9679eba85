// Transposition of a matrix, block by block in registers.
#pragma once
#include "core/simd.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// A square block of 16-byte vectors, which every level has: 4 x 4 floats, 2 x 2 doubles.
template <typename T>
struct Block {
  typedef T type __attribute__((vector_size(16)));
  typedef T unaligned __attribute__((vector_size(16), aligned(alignof(T)), may_alias));
  static constexpr int64_t size = 16 / sizeof(T);
  static type load(const T* p) { return *reinterpret_cast<const unaligned*>(p); }
  static void store(T* p, type v) { *reinterpret_cast<unaligned*>(p) = v; }
};

inline void transpose_block(const float* from, int64_t from_stride, float* to, int64_t to_stride) {
  using B = Block<float>;
  const B::type a = B::load(from), b = B::load(from + from_stride), c = B::load(from + 2 * from_stride),
                d = B::load(from + 3 * from_stride);
  const B::type ab0 = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab1 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const B::type cd0 = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd1 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  B::store(to, __builtin_shufflevector(ab0, cd0, 0, 1, 4, 5));
  B::store(to + to_stride, __builtin_shufflevector(ab0, cd0, 2, 3, 6, 7));
  B::store(to + 2 * to_stride, __builtin_shufflevector(ab1, cd1, 0, 1, 4, 5));
  B::store(to + 3 * to_stride, __builtin_shufflevector(ab1, cd1, 2, 3, 6, 7));
}

inline void transpose_block(const double* from, int64_t from_stride, double* to, int64_t to_stride) {
  using B = Block<double>;
  const B::type a = B::load(from), b = B::load(from + from_stride);
  B::store(to, __builtin_shufflevector(a, b, 0, 2));
  B::store(to + to_stride, __builtin_shufflevector(a, b, 1, 3));
}

// to[c * to_stride + r] = from[r * from_stride + c]. The last block of a row or column overlaps the one before.
template <typename T>
void transpose(int64_t rows, int64_t columns, const T* from, int64_t from_stride, T* to, int64_t to_stride) {
  constexpr int64_t B = Block<T>::size;
  if (rows < B || columns < B) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c) to[c * to_stride + r] = from[r * from_stride + c];
    return;
  }
  for (int64_t i = 0; i < rows; i += B) {
    const int64_t r = i + B <= rows ? i : rows - B;
    for (int64_t j = 0; j < columns; j += B) {
      const int64_t c = j + B <= columns ? j : columns - B;
      transpose_block(from + r * from_stride + c, from_stride, to + c * to_stride + r, to_stride);
    }
  }
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
