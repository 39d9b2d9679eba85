// exp, log, tanh and sigmoid of whole vectors, float and double from one source. For per-level units only.
// Argument reduction after Cody and Waite, "Software Manual for the Elementary Functions" (1980), ln 2 split as in
// Moshier's Cephes library; the polynomials are Taylor series, long enough that the first term left out is below a
// quarter of an ulp. Largest errors found, in ulp, any level and type: exp 1.1, log 0.9, sigmoid 2.3, tanh 2.6.
#pragma once
#include <cstdint>

#include "core/simd.h"

namespace atrous::ATROUS_LEVEL {
namespace {

template <typename T>
struct Format;

template <>
struct Format<float> {
  using Int = int32_t;
  using UInt = uint32_t;
  static constexpr int mantissa = 23, bias = 127, exp_degree = 7, log_terms = 4;
  static constexpr float round = 12582912.0f;  // 1.5 * 2^23: adding it leaves an integer in the low bits
  static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  static constexpr float exp_low = -104.0f, exp_high = 89.0f;  // beyond: 0, infinity
  static constexpr float tanh_one = 10.0f;                     // from here on tanh rounds to 1
  static constexpr float smallest_normal = __FLT_MIN__;
};

template <>
struct Format<double> {
  using Int = int64_t;
  using UInt = uint64_t;
  static constexpr int mantissa = 52, bias = 1023, exp_degree = 13, log_terms = 9;
  static constexpr double round = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double ln2_high = 6.93145751953125e-1, ln2_low = 1.42860682030941723212e-6;
  static constexpr double exp_low = -746.0, exp_high = 710.0;
  static constexpr double tanh_one = 20.0;
  static constexpr double smallest_normal = __DBL_MIN__;
};

template <typename T>
using V = typename Vec<T>::type;
template <typename T>
using Bits = typename Vec<typename Format<T>::Int>::type;
template <typename T>
using Wrapping = typename Vec<typename Format<T>::UInt>::type;  // arithmetic on the bits of a NaN may overflow

template <typename T>
inline Bits<T> bits_of(T x) {
  return (Bits<T>)broadcast<T>(x);
}

template <typename T>
inline V<T> absolute(V<T> x) {
  return (V<T>)((Bits<T>)x & ~bits_of<T>(T(-0.0)));
}

template <typename T>
inline V<T> copy_sign(V<T> magnitude, V<T> sign) {
  const Bits<T> mask = bits_of<T>(T(-0.0));
  return (V<T>)(((Bits<T>)magnitude & ~mask) | ((Bits<T>)sign & mask));
}

// NaN stays NaN.
template <typename T>
inline V<T> clamp(V<T> x, T low, T high) {
  const V<T> lows = broadcast<T>(low), highs = broadcast<T>(high);
  x = lows > x ? lows : x;
  return highs < x ? highs : x;
}

template <typename T>
inline V<T> square_root(V<T> x) {
  T lanes[Vec<T>::width];
  store(lanes, x);
  for (T& lane : lanes) lane = sizeof(T) == 4 ? __builtin_sqrtf(lane) : __builtin_sqrt(lane);
  return load(lanes);
}

// 2^n for n within the exponents of normal numbers.
template <typename T>
inline V<T> power_of_two(Wrapping<T> n) {
  return (V<T>)((n + Format<T>::bias) << Format<T>::mantissa);
}

// x = n ln 2 + r with |r| <= ln(2) / 2, for |x| of exp's range.
template <typename T>
inline V<T> reduce(V<T> x, Wrapping<T>& n) {
  constexpr T log2_e = T(1.44269504088896340736);
  const V<T> shifted = x * log2_e + Format<T>::round;
  n = (Wrapping<T>)shifted - (Wrapping<T>)bits_of<T>(Format<T>::round);
  const V<T> k = shifted - Format<T>::round;
  return (x - k * Format<T>::ln2_high) - k * Format<T>::ln2_low;
}

// exp(r) - 1 = r + r^2 (1 / 2! + r / 3! + ...) for the r of reduce().
template <typename T>
inline V<T> exp_minus_one(V<T> r) {
  constexpr double factorials[] = {1,    1,     2,      6,       24,       120,       720,
                                   5040, 40320, 362880, 3628800, 39916800, 479001600, 6227020800};
  constexpr int degree = Format<T>::exp_degree;
  V<T> sum = broadcast<T>(T(1 / factorials[degree]));
#pragma GCC unroll 16
  for (int k = degree - 1; k >= 2; --k) sum = sum * r + T(1 / factorials[k]);
  return sum * (r * r) + r;
}

template <typename T>
inline V<T> exp(V<T> x) {
  Wrapping<T> n;
  const V<T> r = reduce<T>(clamp<T>(x, Format<T>::exp_low, Format<T>::exp_high), n);
  const V<T> fraction = exp_minus_one<T>(r) + T(1);
  // 2^n in two factors: it may lie below the normal numbers, or just above the largest one.
  const Wrapping<T> half = ((n + 2 * Format<T>::bias) >> 1) - Format<T>::bias;
  return fraction * power_of_two<T>(half) * power_of_two<T>(n - half);
}

// For x >= 1 and NaN. After fdlibm's e_log.c: x = 2^e (1 + f), log(1 + f) = f - (f^2 / 2 - s (f^2 / 2 + R)),
// s = f / (2 + f), R = 2 s^2 / 3 + 2 s^4 / 5 + ...
template <typename T>
inline V<T> log(V<T> x) {
  const Wrapping<T> above = (Wrapping<T>)x - (Wrapping<T>)bits_of<T>(T(0.70710678118654752440));
  const Wrapping<T> e = above >> Format<T>::mantissa;
  const V<T> k = (V<T>)(e + (Wrapping<T>)bits_of<T>(Format<T>::round)) - Format<T>::round;
  const V<T> f = (V<T>)((Wrapping<T>)x - (e << Format<T>::mantissa)) - T(1);
  const V<T> s = f / (f + T(2)), w = s * s, half_square = T(0.5) * f * f;
  V<T> series = broadcast<T>(T(2.0 / (2 * Format<T>::log_terms + 1)));
#pragma GCC unroll 16
  for (int i = Format<T>::log_terms - 1; i >= 1; --i) series = series * w + T(2.0 / (2 * i + 1));
  const V<T> log_fraction = half_square - (s * (half_square + w * series) + k * Format<T>::ln2_low) - f;
  const V<T> result = k * Format<T>::ln2_high - log_fraction;
  return x == x ? result : x;
}

// exp of -|x| only: no overflow, and no loss where the result is small.
template <typename T>
inline V<T> sigmoid(V<T> x) {
  const V<T> one = broadcast<T>(T(1)), e = exp<T>(-absolute<T>(x));
  return (x < T(0) ? e : one) / (one + e);
}

// (exp(z) - 1) / (exp(z) + 1) with z = 2 |x|, and exp(z) - 1 = 2^n (exp(r) - 1) + (2^n - 1).
template <typename T>
inline V<T> tanh(V<T> x) {
  Wrapping<T> n;
  const V<T> z = clamp<T>(T(2) * absolute<T>(x), T(0), 2 * Format<T>::tanh_one);
  const V<T> r = reduce<T>(z, n), scale = power_of_two<T>(n);
  const V<T> m = scale * exp_minus_one<T>(r) + (scale - T(1));
  return copy_sign<T>(m / (m + T(2)), x);
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
