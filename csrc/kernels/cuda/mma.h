// Tensor cores: products of small matrices by all threads of a warp.
#pragma once
#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/cuda/half.h"

namespace atrous {

// The nearest number of TF32, which is float32 with 10 explicit bits of mantissa and all of its exponent; ties go away
// from zero, NaN and Inf stay. The other 13 bits are left as they come: tensor cores ignore them. `in_place` says that
// the register may hold the result, too; then the instruction for it is the shorter way, else it costs a copy.
template <bool in_place>
__device__ inline uint32_t to_tf32(uint32_t bits) {
#if defined(__CUDACC__) && __CUDA_ARCH__ >= 800
  if constexpr (in_place) {
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(__uint_as_float(bits)));
    return bits;
  }
#endif
  return bits + (std::fabs(__uint_as_float(bits)) < INFINITY ? 0x1000u : 0u);
}

// Four matrices of 8 rows of 16 bytes: lane l gives the address of row l % 8 of matrix l / 8, and gets of each matrix
// the 4 bytes number l % 4 of row l / 4.
__device__ inline void load_matrices(const void* row, uint32_t (&to)[4]) {
#ifdef __CUDACC__
  const auto place = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(place));
#else
  const void* const* const rows = cuda_on_cpu::of_warp(row);
  for (unsigned matrix = 0; matrix < 4; ++matrix) {
    const auto* from = static_cast<const char*>(rows[8 * matrix + cuda_on_cpu::lane() / 4]);
    std::memcpy(&to[matrix], from + 4 * (cuda_on_cpu::lane() % 4), 4);
  }
#endif
}

// The same of matrices of 8 x 8 numbers of 16 bits, transposed: of each a lane gets the numbers 2 (l % 4) and the next
// of column l / 4.
__device__ inline void load_matrices_transposed(const void* row, uint32_t (&to)[4]) {
#ifdef __CUDACC__
  const auto place = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(place));
#else
  const void* const* const rows = cuda_on_cpu::of_warp(row);
  for (unsigned matrix = 0; matrix < 4; ++matrix) {
    to[matrix] = 0;
    for (unsigned i = 0; i < 2; ++i) {
      uint16_t number;
      const auto* from = static_cast<const char*>(rows[8 * matrix + 2 * (cuda_on_cpu::lane() % 4) + i]);
      std::memcpy(&number, from + 2 * (cuda_on_cpu::lane() / 4), 2);
      to[matrix] |= uint32_t{number} << 16 * i;
    }
  }
#endif
}

// Products of a 16 x K matrix by a K x 8 one, K = 8 of float32 numbers rounded to TF32 and 16 of 16-bit ones: c += a *
// b in float32. What a lane holds of them, with g = lane / 4 and t = lane % 4; a register is a float, or two numbers of
// 16 bits, at 2t and 2t + 1 along K, where t stands below:
//   a: (g, t), (g + 8, t), (g, t + K / 2), (g + 8, t + K / 2)     b: (t, g), (t + K / 2, g)
//   c: (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1)
#ifndef __CUDACC__
// The numbers of a register, as far as tensor cores see them.
template <typename T>
inline float number_of(uint32_t bits, unsigned place) {
  if constexpr (is_half<T>)
    return to_compute(T{static_cast<uint16_t>(bits >> 16 * place)});
  else
    return __uint_as_float(bits & 0xFFFFE000u);
}
#endif

template <typename T>
__device__ inline void multiply_add(float& c0, float& c1, float& c2, float& c3, const uint32_t (&a)[4],
                                    const uint32_t (&b)[2]) {
#ifndef __CUDACC__
  struct Factors {
    uint32_t a[4], b[2];
  };
  const Factors* const of_lane = cuda_on_cpu::of_warp(Factors{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}});
  const unsigned g = cuda_on_cpu::lane() / 4, t = cuda_on_cpu::lane() % 4;
  constexpr unsigned kNumbers = 4 / sizeof(T);  // of a register
  for (unsigned k = 0; k < 8 * kNumbers; ++k) {
    const unsigned high = k / (4 * kNumbers), lane = k / kNumbers % 4, place = k % kNumbers;
    const Factors &rows = of_lane[4 * g + lane], &first = of_lane[8 * t + lane],
                  &second = of_lane[8 * t + 4 + lane];  // of columns 2t and 2t + 1
    const float upper = number_of<T>(rows.a[2 * high], place), lower = number_of<T>(rows.a[2 * high + 1], place);
    const float left = number_of<T>(first.b[high], place), right = number_of<T>(second.b[high], place);
    c0 += upper * left;
    c1 += upper * right;
    c2 += lower * left;
    c3 += lower * right;
  }
#elif __CUDA_ARCH__ >= 800
  if constexpr (std::is_same_v<T, BFloat16>)
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c0), "+f"(c1), "+f"(c2), "+f"(c3)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else if constexpr (std::is_same_v<T, Float16>)
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c0), "+f"(c1), "+f"(c2), "+f"(c3)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c0), "+f"(c1), "+f"(c2), "+f"(c3)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();  // no GPU that lacks them is given such a kernel
#endif
}

}  // namespace atrous
