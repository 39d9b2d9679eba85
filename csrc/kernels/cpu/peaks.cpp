// peaks: the loop that nothing can outrun, multiply-adds that wait for neither memory nor each other.
#include "core/peaks.h"

#include "core/simd.h"

namespace atrous::ATROUS_LEVEL {
namespace {

constexpr int kChains = 12;  // two units times a latency of 4, and a little more

float multiply_adds(int64_t steps, float seed) {
  using V = typename Vec<float>::type;
  const V factor = broadcast(0.999f), term = broadcast(0.001f);
  V sum[kChains];
  for (int i = 0; i < kChains; ++i) sum[i] = broadcast(seed + i);  // equal chains would be merged
  for (int64_t step = 0; step < steps; ++step)
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) sum[i] = sum[i] * factor + term;
  V total = {};
  for (int i = 0; i < kChains; ++i) total += sum[i];
  return total[0];
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL

namespace atrous {
template <>
PeakKernels peak_kernels<Level::ATROUS_LEVEL>() {
  constexpr int kLanes = ATROUS_VECTOR_BYTES / 4;
  return {ATROUS_LEVEL::multiply_adds, int64_t{2} * ATROUS_LEVEL::kChains * kLanes};
}
}  // namespace atrous
