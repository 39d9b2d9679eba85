// Few channels make taps too short to multiply one by one. Then the windows of a piece of sites are copied side by
// side into rows of taps * K numbers, zeros where they leave the image, and a row is one tap.
#pragma once
#include "kernels/cpu/conv2d_sites.h"

namespace atrous::ATROUS_LEVEL {
namespace {

bool has_few_channels(const Conv2dShape& s) { return s.G == 1 && s.IC < 16 && s.KH * s.KW > 1; }

inline int64_t patch_stride(const Sites& s) { return divide_up(s.taps * s.K, 16) * 16 + 16; }

// Windows of which kernel rows lie dense in memory, by whole vectors: what a store writes past a row is written again
// or not read.
template <typename T>
inline void copy_window(int64_t KH, int64_t length, const T* from, int64_t row_stride, T* to) {
  constexpr int W = Vec<T>::width;
  for (int64_t kh = 0; kh < KH; ++kh, from += row_stride, to += length) {
    store(to, load(from));
    for (int64_t i = W; i < length; i += W) store(to + i, load(from + i));
  }
}

// A window that leaves the image, number by number; it belongs to site (qh, qw) of an image.
template <typename T>
void copy_window_at_edge(const Sites& s, int64_t qh, int64_t qw, const T* image, T* to) {
  for (int64_t t = 0; t < s.taps; ++t, to += s.K) {
    const int64_t h = qh * s.step_h + s.tap_h[t], w = qw * s.step_w + s.tap_w[t];
    const bool inside = h >= 0 && h < s.SH && w >= 0 && w < s.SW;
    for (int64_t c = 0; c < s.K; ++c) to[c] = inside ? image[(h * s.SW + w) * s.SC + c] : T(0);
  }
}

// Patches of the sites [first, first + rows), and a table that points to them.
template <typename T>
void fill_patches(const Sites& s, int64_t first, int64_t rows, const T* source, T* patches, const T** table) {
  int64_t KW = 1;  // taps of a row of the window
  while (KW < s.taps && s.tap_h[KW] == s.tap_h[0]) ++KW;
  const int64_t KH = s.taps / KW, length = KW * s.K, stride = patch_stride(s), last = s.taps - 1;
  const int64_t row_stride = KH > 1 ? (s.tap_h[KW] - s.tap_h[0]) * s.SW * s.SC : 0;
  const int64_t past = divide_up(length, Vec<T>::width) * Vec<T>::width;  // what a row reads, in whole vectors
  const bool dense = KW == 1 || s.tap_w[1] - s.tap_w[0] == 1;
  const T* end = source + s.N * s.SH * s.SW * s.SC;
  int64_t qw = first % s.QW, qh = first / s.QW % s.QH, n = first / (s.QW * s.QH);
  for (int64_t i = 0; i < rows; ++i) {
    T* to = patches + i * stride;
    table[i] = to;
    const int64_t h = qh * s.step_h + s.tap_h[0], w = qw * s.step_w + s.tap_w[0];
    const T *image = source + n * s.SH * s.SW * s.SC, *from = image + (h * s.SW + w) * s.SC;
    const bool inside =
        h >= 0 && w >= 0 && qh * s.step_h + s.tap_h[last] < s.SH && qw * s.step_w + s.tap_w[last] < s.SW;
    if (dense && inside && end - from >= (KH - 1) * row_stride + past)
      copy_window(KH, length, from, row_stride, to);
    else
      copy_window_at_edge(s, qh, qw, image, to);
    if (++qw == s.QW) qw = 0, ++qh;
    if (qh == s.QH) qh = 0, ++n;
  }
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
