// The epilogue of a sum that is still in a register.
#pragma once
#include "core/epilogue.h"
#include "core/simd.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// max(0, v); keeps NaN and -0.
template <typename V>
inline V rectified(V v) {
  const V zero = {};
  return v < zero ? zero : v;
}

// A sum (V is T), or a vector of them, through the epilogue; operands that it lacks are not looked at.
template <typename V, typename T>
inline V finished(const Epilogue<T>& e, V sum, V scale, V bias, V residual) {
  if (e.scale) sum *= scale;
  if (e.bias) sum += bias;
  if (e.relu) sum = rectified(sum);
  if (e.residual) sum += residual;
  if (e.relu_last) sum = rectified(sum);
  return sum;
}

// Of channel c at place i of y.
template <typename T>
inline T finished_at(const Epilogue<T>& e, T sum, int64_t c, int64_t i) {
  return finished<T>(e, sum, e.scale ? e.scale[c] : T(0), e.bias ? e.bias[c] : T(0), e.residual ? e.residual[i] : T(0));
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
