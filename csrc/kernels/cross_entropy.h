// cross_entropy: softmax, log-softmax and the cross-entropy of logits.  Reference: reference/cross_entropy.py
// Per pixel p, over its C logits x[p, :], with m = max_c x_c and s = sum_c exp(x_c - m):
//   log_p_c = (x_c - m) - log s              lse = m + log s              p_c = exp(x_c - m) / s
//   q_c     = weight_c * ((1 - e) * t_c + e / C)     e = label_smoothing
//             t = target: probabilities, or one-hot of an index
//   loss    = -sum_c q_c * log_p_c           grad_x_c = grad_loss * (p_c * sum_j q_j - q_c)
// A pixel whose index is ignore_index has loss and weight 0 and grad_loss counts as 0; other indices are in [0, C),
// checked by the caller, or on a GPU, where that would wait, count as ignored. weights[p] = weight[target[p]]. weight
// may be nullptr: all ones.
//   log_softmax   y = log_p     grad_x_c = grad_y_c - exp(y_c) * sum_j grad_y_j
//   softmax       y = p         grad_x_c = y_c * (grad_y_c - sum_j grad_y_j * y_j)
// A pixel with NaN, with +Inf, or with nothing but -Inf among its logits is NaN throughout, as in PyTorch.
// backward takes lse as the shift of its exponentials and divides them by their sum, so lse may be rounded to T.
// x, y, soft targets and their gradients are (P, C), C fastest; all else (P). Outputs are overwritten and are not
// inputs. Sums over c run in lanes, c modulo the vector width, added as a tree: bits depend on values, C and level
// only.
#pragma once
#include <cstdint>

#include "core/level.h"

namespace atrous {

struct CrossEntropyShape {
  int64_t P;  // pixels: N * H * W
  int64_t C;  // classes
};

template <typename T>
struct CrossEntropyKernels {
  void (*forward)(const CrossEntropyShape&, const T* x, const int64_t* target, const T* weight, int64_t ignore_index,
                  double label_smoothing, T* losses, T* weights, T* lse);
  void (*backward)(const CrossEntropyShape&, const T* grad_losses, const T* x, const int64_t* target, const T* lse,
                   const T* weight, int64_t ignore_index, double label_smoothing, T* grad_x);
  void (*soft_forward)(const CrossEntropyShape&, const T* x, const T* target, const T* weight, double label_smoothing,
                       T* losses, T* lse);
  void (*soft_backward)(const CrossEntropyShape&, const T* grad_losses, const T* x, const T* target, const T* lse,
                        const T* weight, double label_smoothing, T* grad_x);
  void (*log_softmax_forward)(const CrossEntropyShape&, const T* x, T* y);
  void (*log_softmax_backward)(const CrossEntropyShape&, const T* grad_y, const T* y, T* grad_x);
  void (*softmax_forward)(const CrossEntropyShape&, const T* x, T* y);
  void (*softmax_backward)(const CrossEntropyShape&, const T* grad_y, const T* y, T* grad_x);
};

template <Level L, typename T>
CrossEntropyKernels<T> cross_entropy_kernels();  // specialised in {cpu,cuda}/cross_entropy.*, once per level

}  // namespace atrous
