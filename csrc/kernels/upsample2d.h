// upsample2d: an NHWC image brought to another size, larger or smaller.  Reference: reference/upsample2d.py
//
// Both axes are resized alike, one after the other. Of I inputs and O outputs, output o reads
//   bilinear:  (1 - w) * x[first] + w * x[second]    first = min(floor(p), I - 1), second = min(first + 1, I - 1)
//              p = (o + 1/2) * I / O - 1/2, or (o + 1/2) / scale - 1/2 where a scale is given, and at least 0;
//              p = o * (I - 1) / (O - 1), 0 where O is 1, with align_corners
//              w = min(p - first, 1);  second = first = o and w = 0 where O is I
//   nearest:   x[min(floor(o * step), I - 1)]        step = I / O, or 1 / scale where one is given, in float32;
//              the scale is ignored where O is I or 2 * I
// w is computed in double and rounded once, to Compute<T>, in which sums are, too: y is rounded once. Products by a
// weight of 0 are made, so that 0 * Inf is a NaN, as in PyTorch.
//
// The kernel knows none of this: it sums the pixels that two tables of taps name. The tables of a gradient are those of
// its forward, transposed: grad_x[i] is a sum over the outputs that read i, in their order.
//   y[n,oh,ow,c] = sum over columns[ow] of weight * (sum over rows[oh] of weight * x[n, row, column, c])      0 over
//   none
// y is overwritten and does not overlap x. Each output row is computed by one thread, whole: the same bits on any
// number.
#pragma once
#include <cstdint>

#include "core/half.h"
#include "core/level.h"

namespace atrous {

template <typename T>
struct Tap {
  int64_t source;
  T weight;
};

// One axis: output o sums taps[starts[o]] up to, not including, taps[starts[o + 1]]. Sources never decrease.
template <typename T>
struct Taps {
  int64_t outputs;
  const int64_t* starts;
  const Tap<T>* taps;
};

template <typename T>
struct Upsample2dShape {
  int64_t N, C, IH, IW;  // of x; the tables must name no row or column outside it
  Taps<T> rows, columns;
};

template <typename T>
struct Upsample2dKernels {
  void (*resample)(const Upsample2dShape<Compute<T>>&, const T* x, T* y);
};

template <Level L, typename T>
Upsample2dKernels<T> upsample2d_kernels();  // specialised in {cpu,cuda}/upsample2d.*, once per level

}  // namespace atrous
