// Floating-point numbers of 16 bits. They are for memory alone: what is computed with them is float. Kernels convert by
// kernels/cuda/half.h.
#pragma once
#include <cstdint>
#include <type_traits>

namespace atrous {

struct Float16 {  // IEEE 754 binary16: 5 bits of exponent, 10 of mantissa, up to 65504
  uint16_t bits;
};

struct BFloat16 {  // the upper half of a float: 8 bits of exponent, 7 of mantissa
  uint16_t bits;
};

template <typename T>
inline constexpr bool is_half = std::is_same_v<T, Float16> || std::is_same_v<T, BFloat16>;

// In what sums of T are added up, and what a layer's small parameters (bias, scale, statistics) and their gradients
// are, beside maps and weights of T.
template <typename T>
using Compute = std::conditional_t<is_half<T>, float, T>;

}  // namespace atrous
