// Depthwise convolution by walks (conv2d_walks.h): false, and nothing done, for other windows.
#pragma once
#include "core/epilogue.h"
#include "kernels/conv2d.h"

namespace atrous {

template <typename T>
bool forward_by_walks(const Conv2dShape&, const T* x, const T* weight, const Epilogue<T>&, T* y);
template <typename T>
bool backward_input_by_walks(const Conv2dShape&, const T* grad_y, const T* weight, T* grad_x);
template <typename T>
bool backward_input_by_walks_of_2(const Conv2dShape&, const T* grad_y, const T* weight, T* grad_x);  // stride 2
template <typename T>
bool backward_weight_by_walks(const Conv2dShape&, const T* grad_y, const T* x, Compute<T>* grad_weight);

}  // namespace atrous
