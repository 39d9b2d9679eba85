// Tensor cores: products of small matrices by all threads of a warp.
#pragma once
#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstring>

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

// What a lane holds of a 16 x 8 matrix, an 8 x 8 one and a 16 x 8 sum, g = lane / 4 and t = lane % 4:
//   a: (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4)     b: (t, g), (t + 4, g)
//   c: (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1)
// c += a * b, in float32.
__device__ inline void multiply_add(float& c0, float& c1, float& c2, float& c3, const uint32_t (&a)[4],
                                    const uint32_t (&b)[2]) {
#ifndef __CUDACC__
  struct Factors {
    uint32_t a[4], b[2];
  };
  const Factors* const of_lane = cuda_on_cpu::of_warp(Factors{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}});
  const unsigned g = cuda_on_cpu::lane() / 4, t = cuda_on_cpu::lane() % 4;
  const auto number = [](uint32_t bits) { return __uint_as_float(bits & 0xFFFFE000u); };
  for (unsigned k = 0; k < 8; ++k) {
    const unsigned high = k / 4;
    const Factors &rows = of_lane[4 * g + k % 4], &first = of_lane[8 * t + k % 4],
                  &second = of_lane[8 * t + 4 + k % 4];  // of columns 2t and 2t + 1
    const float upper = number(rows.a[2 * high]), lower = number(rows.a[2 * high + 1]);
    c0 += upper * number(first.b[high]);
    c1 += upper * number(second.b[high]);
    c2 += lower * number(first.b[high]);
    c3 += lower * number(second.b[high]);
  }
#elif __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c0), "+f"(c1), "+f"(c2), "+f"(c3)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();  // no GPU that lacks them is given such a kernel
#endif
}

}  // namespace atrous
