// What a convolution or a linear layer still does to its sums before they are written: the ops that follow it in the
// network, at the price of none.
//   y = relu_last( relu( scale[c] * sum + bias[c] ) + residual )
#pragma once
#include "core/half.h"

namespace atrous {

template <typename T>
struct Epilogue {
  const Compute<T>* scale;  // of each channel c; nullptr: 1
  const Compute<T>* bias;   // of each channel c; nullptr: 0
  bool relu;                // before the residual is added
  const T* residual;        // laid out as y; nullptr: 0
  bool relu_last;           // after it was added
};

template <typename T>
bool does_nothing(const Epilogue<T>& e) {
  return !e.scale && !e.bias && !e.relu && !e.residual && !e.relu_last;
}

}  // namespace atrous
