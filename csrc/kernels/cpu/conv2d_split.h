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

template <typename T>
void split_forward(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* x, const T* weight, const Epilogue<T>& e,
                   T* y) {
  if (s.G == 1) return winograd_forward(s, algorithm, x, weight, e, y);
  const Conv2dShape one = shape_of_group(s);
  const int64_t in = s.N * s.IH * s.IW, out = s.N * s.OH * s.OW;
  Workspace<T> own_x(in * one.IC), own_y(out * one.OC), own_residual(e.residual ? out * one.OC : 0);
  for (int64_t c = 0; c < s.OC; c += one.OC) {
    Epilogue<T> own = e;
    if (e.scale) own.scale += c;
    if (e.bias) own.bias += c;
    if (e.residual) {
      copy_channels(out, one.OC, e.residual + c, s.OC, own_residual.data(), one.OC);
      own.residual = own_residual.data();
    }
    copy_channels(in, one.IC, x + c / one.OC * one.IC, s.IC, own_x.data(), one.IC);
    winograd_forward(one, algorithm, own_x.data(), weight + c * 9 * one.IC, own, own_y.data());
    copy_channels(out, one.OC, own_y.data(), one.OC, y + c, s.OC);
  }
}

template <typename T>
void split_backward_input(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* grad_y, const T* weight,
                          T* grad_x) {
  if (s.G == 1) return winograd_backward_input(s, algorithm, grad_y, weight, grad_x);
  const Conv2dShape one = shape_of_group(s);
  const int64_t in = s.N * s.IH * s.IW, out = s.N * s.OH * s.OW;
  Workspace<T> own_x(in * one.IC), own_y(out * one.OC);
  for (int64_t c = 0; c < s.OC; c += one.OC) {
    copy_channels(out, one.OC, grad_y + c, s.OC, own_y.data(), one.OC);
    winograd_backward_input(one, algorithm, own_y.data(), weight + c * 9 * one.IC, own_x.data());
    copy_channels(in, one.IC, own_x.data(), one.IC, grad_x + c / one.OC * one.IC, s.IC);
  }
}

template <typename T>
void split_backward_weight(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* grad_y, const T* x,
                           T* grad_weight) {
  if (s.G == 1) return winograd_backward_weight(s, algorithm, grad_y, x, grad_weight);
  const Conv2dShape one = shape_of_group(s);
  const int64_t in = s.N * s.IH * s.IW, out = s.N * s.OH * s.OW;
  Workspace<T> own_x(in * one.IC), own_y(out * one.OC);
  for (int64_t c = 0; c < s.OC; c += one.OC) {
    copy_channels(in, one.IC, x + c / one.OC * one.IC, s.IC, own_x.data(), one.IC);
    copy_channels(out, one.OC, grad_y + c, s.OC, own_y.data(), one.OC);
    winograd_backward_weight(one, algorithm, own_y.data(), own_x.data(), grad_weight + c * 9 * one.IC);
  }
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
