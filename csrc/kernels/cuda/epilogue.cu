#include "kernels/cuda/epilogue.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pack.h"

namespace atrous {
namespace {

template <int n, typename T>
__global__ void epilogue_kernel(int64_t P, int64_t C, Epilogue<T> e, T* y) {
  const int64_t packs = P * (C / n), step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < packs; i += step) {
    const int64_t c = i % (C / n) * n;
    auto value = load_pack<n>(y + i * n);
    const auto residual = e.residual ? load_pack<n>(e.residual + i * n) : Pack<T, n>{};
    for (int j = 0; j < n; ++j) {
      T& v = value.v[j];
      v = v * (e.scale ? e.scale[c + j] : T(1)) + (e.bias ? e.bias[c + j] : T(0));
      if (e.relu && v < T(0)) v = 0;
      if (e.residual) v += residual.v[j];
      if (e.relu_last && v < T(0)) v = 0;
    }
    store_pack(y + i * n, value);
  }
}

}  // namespace

template <typename T>
void apply_epilogue(int64_t P, int64_t C, const Epilogue<T>& e, T* y) {
  if (P * C == 0 || does_nothing(e)) return;
  constexpr int n = 16 / sizeof(T);
  if (C % n == 0 && are_aligned(y, e.residual))
    launch(epilogue_kernel<n, T>, blocks_for(P * C / n), kThreads, P, C, e, y);
  else
    launch(epilogue_kernel<1, T>, blocks_for(P * C), kThreads, P, C, e, y);
}

template void apply_epilogue(int64_t, int64_t, const Epilogue<float>&, float*);
template void apply_epilogue(int64_t, int64_t, const Epilogue<double>&, double*);

}  // namespace atrous
