// pool2d: max, average and adaptive pooling of an NHWC tensor.  Reference: reference/pool2d.py
//
// Max pooling: output pixel (oh, ow) looks through the taps (kh, kw), row by row, that fall inside the image:
//   y[n,oh,ow,c]     = max x[n, oh*sh - ph + kh*dh, ow*sw - pw + kw*dw, c]     -Inf where no tap is inside
//   taps[n,oh,ow,c]  = kh*KW + kw of that element: the first of equals; a NaN is larger than all
//                      0 where none is inside
//   grad_x[n,ih,iw,c] = sum of grad_y over the outputs whose tap is this pixel, in the order of (oh, ow)
//   indices[n,oh,ow,c] = ih*IW + iw of the tap
// taps are uint8 where KH*KW <= 256, else int32. The backward compares taps and never uses them as addresses: a tap
// that points outside its window or the image is ignored. indices needs 0 <= tap < KH*KW, which the caller checks.
//
// Average and adaptive pooling: output pixel (oh, ow) reads the rows and columns of its two windows:
//   y[n,oh,ow,c]      = sum x[n,ih,iw,c] / (rows[oh].divisor * columns[ow].divisor)                0 over no pixels
//   grad_x[n,ih,iw,c] = sum over the windows that hold (ih, iw), in the order of (oh, ow), of grad_y / divisor
//   adaptive max: y as above, indices[n,oh,ow,c] = ih*IW + iw of it, IH*IW < 2^31
//   grad_x[n,ih,iw,c] = sum of grad_y over the windows that hold (ih, iw) and whose index it is, in the order of (oh,
//   ow)
// The adaptive max backward ignores an index that lies outside its window.
//
// Sums of numbers of 16 bits are in float, and y and grad_x are rounded once; a maximum is exact.
// Outputs are overwritten and overlap no input. Each output element is computed by one thread.
#pragma once
#include <cstdint>

#include "core/level.h"

namespace atrous {

struct MaxPool2dShape {
  int64_t N, C, IH, IW, OH, OW;
  int64_t KH, KW, sh, sw, ph, pw, dh, dw;
};

// Pixels [begin, end) of one axis, cut to the image; begin and end never decrease from one window to the next.
struct PoolWindow {
  int64_t begin, end;
  int64_t divisor;
};

struct WindowPool2dShape {
  int64_t N, C, IH, IW, OH, OW;
  const PoolWindow* rows;     // OH of them
  const PoolWindow* columns;  // OW of them
};

template <typename T, typename Tap>
struct MaxPool2dKernels {
  void (*forward)(const MaxPool2dShape&, const T* x, T* y, Tap* taps);
  void (*backward)(const MaxPool2dShape&, const T* grad_y, const Tap* taps, T* grad_x);
  void (*indices)(const MaxPool2dShape&, const Tap* taps, int64_t* indices);
};

template <typename T>
struct WindowPool2dKernels {
  void (*average_forward)(const WindowPool2dShape&, const T* x, T* y);
  void (*average_backward)(const WindowPool2dShape&, const T* grad_y, T* grad_x);
  void (*max_forward)(const WindowPool2dShape&, const T* x, T* y, int64_t* indices);
  void (*max_backward)(const WindowPool2dShape&, const T* grad_y, const int64_t* indices, T* grad_x);
};

template <Level L, typename T, typename Tap>
MaxPool2dKernels<T, Tap> max_pool2d_kernels();  // specialised in {cpu,cuda}/pool2d.*, once per level

template <Level L, typename T>
WindowPool2dKernels<T> window_pool2d_kernels();  // specialised in {cpu,cuda}/pool2d_windows.*, once per level

}  // namespace atrous
