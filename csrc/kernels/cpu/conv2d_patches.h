// Few channels make taps too short to multiply one by one. Then the windows of a piece of sites are copied side by
// side into rows of taps * K numbers, zeros where they leave the image, and a row is one tap.
#pragma once
#include "kernels/cpu/conv2d_sites.h"

namespace atrous::ATROUS_LEVEL {
namespace {

bool has_few_channels(const Conv2dShape& s) { return s.G == 1 && s.IC < 16 && s.KH * s.KW > 1; }

inline int64_t patch_stride(const Sites& s) { return divide_up(s.taps * s.K, 16) * 16 + 16; }

// Windows of neighbouring sites, whose rows of `length` numbers lie dense in memory, by whole vectors: what a store
// writes past a row is written again or not read.
template <typename T>
void copy_windows(int64_t sites, int64_t KH, int64_t length, const T* from, int64_t step, int64_t row_stride, T* to,
                  int64_t stride) {
  for (int64_t kh = 0; kh < KH; ++kh, from += row_stride, to += length)
    for (int64_t n = 0; n < length; n += Vec<T>::width)
      for (int64_t i = 0; i < sites; ++i) store(to + i * stride + n, load(from + i * step + n));
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

// The sites of a row whose windows copy_windows can copy.
struct Inside {
  int64_t begin, end;
};

// Patches of the sites [first, first + rows), and a table that points to them.
template <typename T>
void fill_patches(const Sites& s, int64_t first, int64_t rows, const T* source, T* patches, const T** table) {
  int64_t KW = 1;  // taps of a row of the window
  while (KW < s.taps && s.tap_h[KW] == s.tap_h[0]) ++KW;
  const int64_t KH = s.taps / KW, length = KW * s.K, stride = patch_stride(s), last = s.taps - 1;
  const int64_t row_stride = KH > 1 ? (s.tap_h[KW] - s.tap_h[0]) * s.SW * s.SC : 0, step = s.step_w * s.SC;
  const int64_t read = (KH - 1) * row_stride + divide_up(length, Vec<T>::width) * Vec<T>::width;  // of a window
  const bool dense = KW == 1 || s.tap_w[1] - s.tap_w[0] == 1;
  // Of a row of sites that reads the rows of the image from h on; `left`: numbers from the first window to the end.
  const auto inside = [&](int64_t h, int64_t h_last, int64_t left) -> Inside {
    if (!dense || h < 0 || h_last >= s.SH || left < read) return {0, 0};
    const int64_t end = min_of(s.QW, (left - read) / step + 1), right = s.SW - 1 - s.tap_w[last];
    return {divide_up(max_of(0, -s.tap_w[0]), s.step_w), right < 0 ? 0 : min_of(end, right / s.step_w + 1)};
  };
  for (int64_t i = 0; i < rows; ++i) table[i] = patches + i * stride;
  for (int64_t i = 0; i < rows;) {  // a run of sites in one row of an image at a time
    const int64_t qw = (first + i) % s.QW, qh = (first + i) / s.QW % s.QH, n = (first + i) / (s.QW * s.QH);
    const int64_t end = min_of(s.QW, qw + rows - i), h = qh * s.step_h + s.tap_h[0];
    const T* image = source + n * s.SH * s.SW * s.SC;
    const int64_t from = (h * s.SW + s.tap_w[0]) * s.SC;  // of the first site's window; may lie outside
    const Inside whole = inside(h, qh * s.step_h + s.tap_h[last], (s.N - n) * s.SH * s.SW * s.SC - from);
    const int64_t begin = min_of(max_of(qw, whole.begin), end), stop = max_of(begin, min_of(whole.end, end));
    T* const to = patches + (i - qw) * stride;  // of the row's first site
    for (int64_t q = qw; q < begin; ++q) copy_window_at_edge(s, qh, q, image, to + q * stride);
    if (begin < stop)
      copy_windows(stop - begin, KH, length, image + from + begin * step, step, row_stride, to + begin * stride,
                   stride);
    for (int64_t q = stop; q < end; ++q) copy_window_at_edge(s, qh, q, image, to + q * stride);
    i += end - qw;
  }
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
