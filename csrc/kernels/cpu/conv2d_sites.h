// Where a convolution reads and writes. Both directions gather: every site (an output pixel of the forward, an input
// pixel of the backward) sums over taps, and tap t of site (qh, qw) reads the source pixel
//   (qh * step_h + tap_h[t], qw * step_w + tap_w[t])    or zeros where that lies outside.
// Forward: one set of sites. Backward-input: one set for each residue of the input position modulo the stride; only
// the taps that reach that residue are listed, so no multiplication is wasted.
#pragma once
#include "core/simd.h"
#include "kernels/conv2d.h"

namespace atrous::ATROUS_LEVEL {
namespace {

struct Sites {
  int64_t N, QH, QW;                             // sites of each of N images
  int64_t step_h, step_w;                        // of the source position, per site
  int64_t SH, SW, SC;                            // source: height, width, channels
  int64_t DH, DW, DC;                            // destination
  int64_t start_h, start_w, stride_h, stride_w;  // destination position = start + stride * site
  int64_t G, K;                                  // groups; consecutive source elements that a tap reads in a group
  int64_t taps, all_taps;                        // listed below; of the packed weight
  int64_t *tap_h, *tap_w, *tap_id;               // [taps]; tap_id: which of all_taps
};

int64_t count_of(const Sites& s) { return s.N * s.QH * s.QW; }

// storage holds 3 * KH * KW numbers.
Sites forward_sites(const Conv2dShape& s, int64_t* storage) {
  const int64_t taps = s.KH * s.KW;
  Sites sites;
  sites.N = s.N, sites.QH = s.OH, sites.QW = s.OW;
  sites.step_h = s.sh, sites.step_w = s.sw;
  sites.SH = s.IH, sites.SW = s.IW, sites.SC = s.IC;
  sites.DH = s.OH, sites.DW = s.OW, sites.DC = s.OC;
  sites.start_h = sites.start_w = 0, sites.stride_h = sites.stride_w = 1;
  sites.G = s.G, sites.K = s.IC / s.G;
  sites.taps = sites.all_taps = taps;
  sites.tap_h = storage, sites.tap_w = storage + taps, sites.tap_id = storage + 2 * taps;
  for (int64_t t = 0; t < taps; ++t) {
    sites.tap_h[t] = t / s.KW * s.dh - s.ph;
    sites.tap_w[t] = t % s.KW * s.dw - s.pw;
    sites.tap_id[t] = t;
  }
  return sites;
}

// The taps of a kernel row lie side by side in memory where nothing is padded or dilated across: one tap of KW * IC.
bool can_merge_taps(const Conv2dShape& s) { return s.G == 1 && s.pw == 0 && s.dw == 1; }

Sites merged_forward_sites(Conv2dShape s, int64_t* storage) {
  const int64_t K = s.KW * s.IC;
  s.KW = 1;
  Sites sites = forward_sites(s, storage);
  sites.K = K;
  return sites;
}

// The input pixels with ih % sh == rh and iw % sw == rw. May have no sites, or no taps (then the gradient is zero).
Sites backward_sites(const Conv2dShape& s, int64_t rh, int64_t rw, int64_t* storage) {
  const int64_t all = s.KH * s.KW;
  Sites sites;
  sites.N = s.N;
  sites.QH = rh < s.IH ? divide_up(s.IH - rh, s.sh) : 0;
  sites.QW = rw < s.IW ? divide_up(s.IW - rw, s.sw) : 0;
  sites.step_h = sites.step_w = 1;
  sites.SH = s.OH, sites.SW = s.OW, sites.SC = s.OC;
  sites.DH = s.IH, sites.DW = s.IW, sites.DC = s.IC;
  sites.start_h = rh, sites.start_w = rw, sites.stride_h = s.sh, sites.stride_w = s.sw;
  sites.G = s.G, sites.K = s.OC / s.G;
  sites.taps = 0, sites.all_taps = all;
  sites.tap_h = storage, sites.tap_w = storage + all, sites.tap_id = storage + 2 * all;
  for (int64_t t = 0; t < all; ++t) {
    const int64_t h = rh + s.ph - t / s.KW * s.dh, w = rw + s.pw - t % s.KW * s.dw;
    if (h % s.sh != 0 || w % s.sw != 0) continue;
    sites.tap_h[sites.taps] = h / s.sh;
    sites.tap_w[sites.taps] = w / s.sw;
    sites.tap_id[sites.taps++] = t;
  }
  return sites;
}

// Pointers of one tap for sites qw in [0, count) of a row of sites, starting at `first`.
template <typename T>
void fill_tap_row(const Sites& s, int64_t tap, int64_t n, int64_t qh, int64_t first, int64_t count, const T* source,
                  const T* zeros, const T** table) {
  const int64_t h = qh * s.step_h + s.tap_h[tap];
  int64_t w = first * s.step_w + s.tap_w[tap], i = 0;
  if (h < 0 || h >= s.SH) {
    for (; i < count; ++i) table[i] = zeros;
    return;
  }
  const T* row = source + (n * s.SH + h) * s.SW * s.SC;
  for (; i < count && w < 0; ++i, w += s.step_w) table[i] = zeros;
  for (; i < count && w < s.SW; ++i, w += s.step_w) table[i] = row + w * s.SC;
  for (; i < count; ++i) table[i] = zeros;
}

// Pointers for sites [first, first + rows): table[t * rows + i] reads, out[i] writes (either may be nullptr).
template <typename T>
void fill_table(const Sites& s, int64_t first, int64_t rows, const T* source, const T* zeros, T* destination,
                const T** table, T** out) {
  for (int64_t i = 0; i < rows;) {  // a run of sites in one row of an image at a time
    const int64_t site = first + i, qw = site % s.QW, qh = site / s.QW % s.QH, n = site / (s.QW * s.QH);
    const int64_t count = min_of(rows - i, s.QW - qw);
    for (int64_t t = 0; t < s.taps && table; ++t)
      fill_tap_row(s, t, n, qh, qw, count, source, zeros, table + t * rows + i);
    if (out) {
      T* row = destination + (n * s.DH + s.start_h + qh * s.stride_h) * s.DW * s.DC;
      for (int64_t j = 0; j < count; ++j) out[i + j] = row + (s.start_w + (qw + j) * s.stride_w) * s.DC;
    }
    i += count;
  }
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
