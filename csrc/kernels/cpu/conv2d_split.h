// Winograd's convolution of several groups: dense ones, one after the other, each on a copy of its channels.
#pragma once
#include "core/memory.h"
#include "core/parallel.h"
#include "kernels/cpu/conv2d_winograd.h"
#include "kernels/cpu/conv2d_winograd_weight.h"

namespace atrous::ATROUS_LEVEL {
namespace {

Conv2dShape shape_of_group(Conv2dShape s) {
  s.IC /= s.G, s.OC /= s.G, s.G = 1;
  return s;
}

// `channels` channels of each pixel, which lie `step` apart, to others that lie `to_step` apart.
template <typename T>
void copy_channels(int64_t pixels, int64_t channels, const T* from, int64_t step, T* to, int64_t to_step) {
  constexpr int64_t kPiece = 256;
  parallel_for(divide_up(pixels, kPiece), [&](int64_t piece, int) {
    for (int64_t i = piece * kPiece; i < min_of(pixels, (piece + 1) * kPiece); ++i)
      __builtin_memcpy(to + i * to_step, from + i * step, static_cast<size_t>(channels) * sizeof(T));
  });
}

// Calls f(own shape, first output channel, x, y) for every group; x and y are room for copies of its channels.
template <typename T, typename F>
void for_each_group(const Conv2dShape& s, F&& f) {
  const Conv2dShape one = shape_of_group(s);
  Workspace<T> x(s.N * s.IH * s.IW * one.IC), y(s.N * s.OH * s.OW * one.OC);
  for (int64_t c = 0; c < s.OC; c += one.OC) f(one, c, x.data(), y.data());
}

// The channels of x, or of its gradient, that group `one` reads; to and from its own copy. c: its first output channel.
template <typename T>
void take_x(const Conv2dShape& s, const Conv2dShape& one, int64_t c, const T* x, T* own) {
  copy_channels(s.N * s.IH * s.IW, one.IC, x + c / one.OC * one.IC, s.IC, own, one.IC);
}
template <typename T>
void put_x(const Conv2dShape& s, const Conv2dShape& one, int64_t c, const T* own, T* x) {
  copy_channels(s.N * s.IH * s.IW, one.IC, own, one.IC, x + c / one.OC * one.IC, s.IC);
}
template <typename T>
void take_y(const Conv2dShape& s, const Conv2dShape& one, int64_t c, const T* y, T* own) {
  copy_channels(s.N * s.OH * s.OW, one.OC, y + c, s.OC, own, one.OC);
}
template <typename T>
void put_y(const Conv2dShape& s, const Conv2dShape& one, int64_t c, const T* own, T* y) {
  copy_channels(s.N * s.OH * s.OW, one.OC, own, one.OC, y + c, s.OC);
}

template <typename T>
void split_forward(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* x, const T* weight, const Epilogue<T>& e,
                   T* y) {
  if (s.G == 1) return winograd_forward(s, algorithm, x, weight, e, y);
  Workspace<T> residual(e.residual ? s.N * s.OH * s.OW * s.OC / s.G : 0);
  for_each_group<T>(s, [&](const Conv2dShape& one, int64_t c, T* own_x, T* own_y) {
    Epilogue<T> own = e;
    if (e.scale) own.scale += c;
    if (e.bias) own.bias += c;
    if (e.residual) {
      take_y(s, one, c, e.residual, residual.data());
      own.residual = residual.data();
    }
    take_x(s, one, c, x, own_x);
    winograd_forward(one, algorithm, own_x, weight + c * 9 * one.IC, own, own_y);
    put_y(s, one, c, own_y, y);
  });
}

template <typename T>
void split_backward_input(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* grad_y, const T* weight,
                          T* grad_x) {
  if (s.G == 1) return winograd_backward_input(s, algorithm, grad_y, weight, grad_x);
  for_each_group<T>(s, [&](const Conv2dShape& one, int64_t c, T* own_x, T* own_y) {
    take_y(s, one, c, grad_y, own_y);
    winograd_backward_input(one, algorithm, own_y, weight + c * 9 * one.IC, own_x);
    put_x(s, one, c, own_x, grad_x);
  });
}

template <typename T>
void split_backward_weight(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* grad_y, const T* x,
                           T* grad_weight) {
  if (s.G == 1) return winograd_backward_weight(s, algorithm, grad_y, x, grad_weight);
  for_each_group<T>(s, [&](const Conv2dShape& one, int64_t c, T* own_x, T* own_y) {
    take_x(s, one, c, x, own_x);
    take_y(s, one, c, grad_y, own_y);
    winograd_backward_weight(one, algorithm, own_y, own_x, grad_weight + c * 9 * one.IC);
  });
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
