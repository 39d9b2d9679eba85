// linear: matrix products.  Reference: reference/linear.py
//   matmul:  C[b,m,n] = sum_k A[b,m,k] * B[b,k,n], through the epilogue (whose channel is n)
// linear's forward and gradients are this product with strides:  y = x W^T + bias,  grad_x = grad_y W,
// grad_W = grad_y^T x;  grad_bias[n] = sum_m grad_y[m,n].
// A has unit stride along k or along m, B may have any strides, C is dense and row-major. An
// epilogue needs batch 1 and a_k == 1. C is overwritten and aliases nothing. Sums run over k in blocks of fixed length:
// the same bits on any number of threads.
#pragma once
#include <cstdint>

#include "core/epilogue.h"
#include "core/level.h"

namespace atrous {

struct MatmulShape {
  int64_t batch, M, N, K;
  int64_t a_batch, a_m, a_k;  // strides of A in elements; a_k == 1 or a_m == 1
  int64_t b_batch, b_k, b_n;  // strides of B in elements
};

template <typename T>
struct LinearKernels {
  void (*matmul)(const MatmulShape&, const T* a, const T* b, const Epilogue<T>&, T* c);
  void (*backward_bias)(int64_t M, int64_t N, const T* grad_y, T* grad_bias);
};

template <Level L, typename T>
LinearKernels<T> linear_kernels();  // specialised in kernels/cpu/linear.cpp, once per level

}  // namespace atrous
