// A convolution as a product of matrices, around cuBLAS: what goes before and after it. Shapes as in kernels/conv2d.h.
//   columns[g,p,kh,kw,ic] = x[n, oh*sh - ph + kh*dh, ow*sw - pw + kw*dw, g*ICG + ic], 0 outside x;  p = (n*OH + oh)*OW
//   + ow y[p, g*OCG + oc]      = sum_k columns[g,p,k] * weight[g,oc,k]
// and its transpose, which is not a scatter but for each pixel a sum over the taps that read it, in their order:
//   grad_x[n,ih,iw,g*ICG + ic] = sum_{kh,kw} columns[g,p,kh,kw,ic] over the p whose tap (kh,kw) reads (ih,iw)
#pragma once
#include "core/epilogue.h"
#include "kernels/conv2d.h"

namespace atrous {

template <typename T>
void im2col(const Conv2dShape&, const T* x, T* columns);

template <typename T>
void col2im(const Conv2dShape&, const T* columns, T* grad_x);

// y[p,c] goes through the epilogue in place, for P rows of C channels.
template <typename T>
void apply_epilogue(int64_t P, int64_t C, const Epilogue<T>&, T* y);

}  // namespace atrous
