#include "kernels/cuda/conv2d_target.h"
#include "kernels/cuda/epilogue.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pack.h"

namespace atrous {
namespace {

template <int n, typename T>
__global__ void epilogue_kernel(int64_t P, int64_t C, Target<T> target) {
  const int64_t packs = P * (C / n), step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < packs; i += step) {
    const int64_t c = i % (C / n) * n;
    target.put(i * n - c, c, load_pack<n>(target.y + i * n));
  }
}

}  // namespace

template <typename T>
void apply_epilogue(int64_t P, int64_t C, const Epilogue<T>& e, T* y) {
  if (P * C == 0 || does_nothing(e)) return;
  constexpr int n = 16 / sizeof(T);
  if (C % n == 0 && are_aligned(y, e.scale, e.bias, e.residual))
    launch(epilogue_kernel<n, T>, blocks_for(P * C / n), kThreads, P, C, Target<T>{y, e, true});
  else
    launch(epilogue_kernel<1, T>, blocks_for(P * C), kThreads, P, C, Target<T>{y, e, false});
}

template void apply_epilogue(int64_t, int64_t, const Epilogue<float>&, float*);
template void apply_epilogue(int64_t, int64_t, const Epilogue<double>&, double*);

}  // namespace atrous
