// Tensor cores: products of small matrices by all threads of a warp.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

namespace atrous {

// The nearest number of TF32, which is float32 with 10 explicit bits of mantissa and all of its exponent; ties go away
// from zero.
__device__ inline uint32_t to_tf32(float value) {
  uint32_t bits;
#ifndef __CUDACC__
  std::memcpy(&bits, &value, 4);
  if (value == value) bits = (bits + 0x1000u) & 0xFFFFE000u;
#elif __CUDA_ARCH__ >= 800
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
#else
  bits = __float_as_uint(value);
#endif
  return bits;
}

// What a lane holds of a 16 x 8 matrix, an 8 x 8 one and a 16 x 8 sum, g = lane / 4 and t = lane % 4:
//   a: (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4)     b: (t, g), (t + 4, g)
//   c: (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1)
struct Tf32Products {
  uint32_t a[4], b[2];
};

// c += a * b, in float32.
__device__ inline void multiply_add(float& c0, float& c1, float& c2, float& c3, const Tf32Products& p) {
#ifndef __CUDACC__
  const Tf32Products* const of_lane = cuda_on_cpu::of_warp(p);
  const unsigned g = cuda_on_cpu::lane() / 4, t = cuda_on_cpu::lane() % 4;
  const auto number = [](uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
  };
  for (unsigned k = 0; k < 8; ++k) {
    const unsigned high = k / 4;
    const Tf32Products &rows = of_lane[4 * g + k % 4], &first = of_lane[8 * t + k % 4],
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
      : "r"(p.a[0]), "r"(p.a[1]), "r"(p.a[2]), "r"(p.a[3]), "r"(p.b[0]), "r"(p.b[1]));
#else
  __trap();  // no GPU that lacks them is given such a kernel
#endif
}

}  // namespace atrous
