// Conversions between numbers as they lie in memory, T, and those that are computed with, Compute<T>: for float and
// double there is nothing to do.
#pragma once
#include <cstdint>
#include <cstring>

#include "core/half.h"
#include "kernels/cuda/pack.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace atrous {

template <typename T>
__device__ inline Compute<T> to_compute(T value) {
  return value;
}

template <>
__device__ inline float to_compute(BFloat16 value) {
  return __uint_as_float(uint32_t{value.bits} << 16);
}

template <>
__device__ inline float to_compute(Float16 value) {
#ifdef __CUDACC__
  return __half2float(__ushort_as_half(value.bits));
#else
  _Float16 half;
  std::memcpy(&half, &value, 2);
  return static_cast<float>(half);
#endif
}

// The nearest T, ties to even; beyond the largest one Inf. NaN stays NaN.
template <typename T>
__device__ inline T round_to(Compute<T> value) {
  if constexpr (std::is_same_v<T, BFloat16>) {
#ifdef __CUDACC__
    return {__bfloat16_as_ushort(__float2bfloat16_rn(value))};
#else
    const uint32_t bits = __float_as_uint(value);
    if (value != value) return {static_cast<uint16_t>(bits >> 16 | 0x40)};
    return {static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)};
#endif
  } else if constexpr (std::is_same_v<T, Float16>) {
#ifdef __CUDACC__
    return {__half_as_ushort(__float2half_rn(value))};
#else
    const auto half = static_cast<_Float16>(value);
    Float16 stored;
    std::memcpy(&stored, &half, 2);
    return stored;
#endif
  } else {
    return value;
  }
}

template <typename T>
__device__ inline void round_two(float first, float second, T* to) {
#ifdef __CUDACC__
  if constexpr (std::is_same_v<T, BFloat16>) {
    const __nv_bfloat162 two = __floats2bfloat162_rn(first, second);
    memcpy(to, &two, 4);
  } else {
    const __half2 two = __floats2half2_rn(first, second);
    memcpy(to, &two, 4);
  }
#else
  to[0] = round_to<T>(first);
  to[1] = round_to<T>(second);
#endif
}

// The same of packs: n numbers at a time.
template <typename T, int n>
__device__ inline Pack<Compute<T>, n> to_compute(const Pack<T, n>& pack) {
  Pack<Compute<T>, n> wide;
#pragma unroll
  for (int i = 0; i < n; ++i) wide.v[i] = to_compute(pack.v[i]);
  return wide;
}

template <typename T, int n>
__device__ inline Pack<T, n> round_to(const Pack<Compute<T>, n>& pack) {
  constexpr bool in_pairs = is_half<T> && n % 2 == 0;  // two by one instruction
  Pack<T, n> stored;
#pragma unroll
  for (int i = 0; i < n; i += in_pairs ? 2 : 1)
    if constexpr (in_pairs)
      round_two(pack.v[i], pack.v[i + 1], stored.v + i);
    else
      stored.v[i] = round_to<T>(pack.v[i]);
  return stored;
}

}  // namespace atrous
