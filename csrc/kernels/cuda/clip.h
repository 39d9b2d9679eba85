// Gradient clipping (python/atrous/nn/utils/clip_grad.py) in two launches and one, over all gradients together. The
// CPU's is composed of array code.
#pragma once
#include <cstdint>

namespace atrous {

template <typename T>
struct Values {
  int64_t n;
  T* values;
};

// norm[0] = sqrt(sum of the squares of all values), added up in double, where squares of float neither overflow nor
// vanish.
void square_root_of_squares(int64_t count, const Values<const float>* tensors, float* norm);

// value = value * min(1, max_norm / (norm[0] + 1e-6)), in place. The factor is computed in the norm's type and may be
// subnormal: CuPy's code, which flushes such numbers to 0, would make 0 of gradients of 3e38.
template <typename T, typename N>
void scale_values(int64_t count, const Values<T>* tensors, const N* norm, double max_norm);

}  // namespace atrous
