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

// value = value * factor[0], unless that is 1, in place.
template <typename T>
void scale_values(int64_t count, const Values<T>* tensors, const T* factor);

}  // namespace atrous
