// The convolution's kernels, a file for each; the functions are those of kernels/conv2d.h, with checked sizes.
#pragma once
#include "kernels/conv2d.h"

namespace atrous {

template <typename T>
void forward_tiles(const Conv2dShape&, Conv2dAlgorithm, const T* x, const T* weight, const Epilogue<T>&, T* y);
template <typename T>
void backward_input_tiles(const Conv2dShape&, Conv2dAlgorithm, const T* grad_y, const T* weight, T* grad_x);
template <typename T>
void backward_weight_tiles(const Conv2dShape&, Conv2dAlgorithm, const T* grad_y, const T* x, Compute<T>* grad_weight);

// Small groups on tensor cores; false, and nothing done, where the groups are large or too much is seen by a tile.
template <typename T>
bool forward_grouped(const Conv2dShape&, const T* x, const T* weight, const Epilogue<T>&, T* y);
template <typename T>
bool backward_input_grouped(const Conv2dShape&, const T* grad_y, const T* weight, T* grad_x);
template <typename T>
bool backward_weight_grouped(const Conv2dShape&, const T* grad_y, const T* x, float* grad_weight);

// Small groups by plain multiply-adds; false, and nothing done, where groups are large or no multiples of 4 channels.
bool forward_grouped_direct(const Conv2dShape&, const float* x, const float* weight, const Epilogue<float>&, float* y);
bool backward_input_grouped_direct(const Conv2dShape&, const float* grad_y, const float* weight, float* grad_x);
bool backward_weight_grouped_direct(const Conv2dShape&, const float* grad_y, const float* x, float* grad_weight);

// IC == OC == G.
template <typename T>
void forward_depthwise(const Conv2dShape&, const T* x, const T* weight, const Epilogue<T>&, T* y);
template <typename T>
void backward_input_depthwise(const Conv2dShape&, const T* grad_y, const T* weight, T* grad_x);
template <typename T>
void backward_weight_depthwise(const Conv2dShape&, const T* grad_y, const T* x, Compute<T>* grad_weight);

}  // namespace atrous
