// Average and adaptive pooling: windows come as a range of rows and a range of columns for each output pixel, and what
// an input pixel gets back from a range of windows on each axis.
#include <vector>

#include "kernels/cuda/pixels.h"
#include "kernels/cuda/upload.h"
#include "kernels/pool2d.h"

namespace atrous {
namespace {

// The windows [first, last) of one axis that hold a coordinate, and the divisor that all of them share, or 0.
struct Holders {
  int64_t first, last;
  int64_t divisor;
};

// For each of I coordinates.
std::vector<Holders> holders(const PoolWindow* windows, int64_t O, int64_t I) {
  std::vector<Holders> result(static_cast<size_t>(I));
  int64_t first = 0, last = 0;
  for (int64_t i = 0; i < I; ++i) {
    while (first < O && windows[first].end <= i) ++first;
    while (last < O && windows[last].begin <= i) ++last;
    int64_t divisor = first < last ? windows[first].divisor : 1;
    for (int64_t o = first; o < last; ++o)
      if (windows[o].divisor != divisor) divisor = 0;
    result[static_cast<size_t>(i)] = {first, last, divisor};
  }
  return result;
}

// The tables of a shape on the GPU, as long as this lives.
struct Tables {
  WindowPool2dShape shape;
  const Holders *rows, *columns;  // IH and IW of them, for a backward

  explicit Tables(const WindowPool2dShape& s, bool backward) : shape(s) {
    const size_t rows_at = upload_.add(s.rows, s.OH), columns_at = upload_.add(s.columns, s.OW);
    const auto row_holders = backward ? holders(s.rows, s.OH, s.IH) : std::vector<Holders>();
    const auto column_holders = backward ? holders(s.columns, s.OW, s.IW) : std::vector<Holders>();
    const size_t row_holders_at = upload_.add(row_holders.data(), static_cast<int64_t>(row_holders.size()));
    const size_t column_holders_at = upload_.add(column_holders.data(), static_cast<int64_t>(column_holders.size()));
    upload_.send();
    shape.rows = upload_.at<PoolWindow>(rows_at), shape.columns = upload_.at<PoolWindow>(columns_at);
    rows = upload_.at<Holders>(row_holders_at), columns = upload_.at<Holders>(column_holders_at);
  }

 private:
  Upload upload_;
};

// Sums are in Compute<T>, and so are quotients.
template <int n, typename T>
__device__ inline void add(const Pack<T, n>& x, Pack<Compute<T>, n>& sum) {
  for (int i = 0; i < n; ++i) sum.v[i] += to_compute(x.v[i]);
}

template <int n, typename T>
__device__ inline Pack<T, n> quotient(Pack<T, n> x, T divisor) {
  for (int i = 0; i < n; ++i) x.v[i] /= divisor;
  return x;
}

// One output pixel by one thread.
template <int n, typename T>
struct AverageForward {
  WindowPool2dShape s;
  const T* x;
  T* y;

  __device__ void operator()(const Place& out) const {
    const PoolWindow rows = s.rows[out.h], columns = s.columns[out.w];
    const T* row = x + ((out.n * s.IH + rows.begin) * s.IW + columns.begin) * s.C + out.c;
    Pack<Compute<T>, n> sum = {};
    for (int64_t ih = rows.begin; ih < rows.end; ++ih, row += s.IW * s.C)
      for (int64_t w = 0; w < columns.end - columns.begin; ++w) add(load_pack<n>(row + w * s.C), sum);
    const auto divisor = static_cast<Compute<T>>(rows.divisor * columns.divisor);
    store_pack(y + out.at, round_to<T>(quotient(sum, divisor)));
  }
};

// Walks over the pixels of a window of width KW in strides, which are divided once: not for every pixel.
struct WindowWalk {
  int64_t h, w, KW, down, across;

  __device__ WindowWalk(int64_t start, int64_t stride, int64_t KW_)
      : h(start / KW_), w(start % KW_), KW(KW_), down(stride / KW_), across(stride % KW_) {}

  __device__ void next() {
    const bool wraps = w + across >= KW;
    h += down + wraps;
    w += across - (wraps ? KW : 0);
  }
};

// One output pixel, some of its channels, by a block: `lanes` threads side by side for the channels, as many of these
// rows as fit for the pixels of the window, four of which a thread has under way at once. For few large windows, which
// single threads would take too long over.
template <int n, typename T>
__global__ void average_kernel(WindowPool2dShape s, unsigned lanes, const T* x, T* y) {
  constexpr int kTogether = 4;
  __shared__ Pack<Compute<T>, n> sums[kThreads];
  const int64_t out = blockIdx.x, c = (int64_t{blockIdx.y} * lanes + threadIdx.x % lanes) * n;
  const int64_t row = out / s.OW, image = row / s.OH;
  const PoolWindow rows = s.rows[row % s.OH], columns = s.columns[out % s.OW];
  const int64_t KW = columns.end - columns.begin, pixels = c < s.C ? (rows.end - rows.begin) * KW : 0;
  const T* corner = x + ((image * s.IH + rows.begin) * s.IW + columns.begin) * s.C + c;
  const int64_t start = threadIdx.x / lanes, stride = kThreads / lanes;
  WindowWalk at(start, stride, KW > 0 ? KW : 1);
  Pack<Compute<T>, n> sum = {};
  for (int64_t i = start; i < pixels; i += kTogether * stride) {
    Pack<T, n> packs[kTogether] = {};
    for (int j = 0; j < kTogether; ++j, at.next())
      if (i + j * stride < pixels) packs[j] = load_pack<n>(corner + (at.h * s.IW + at.w) * s.C);
    for (int j = 0; j < kTogether; ++j)
      if (i + j * stride < pixels) add(packs[j], sum);
  }
  for (unsigned half = kThreads / 2; half >= lanes; half /= 2) {  // those of a lane meet in its first thread
    if (threadIdx.x < 2 * half) sums[threadIdx.x] = sum;          // not where others may still read
    __syncthreads();
    if (threadIdx.x < half) add(sums[threadIdx.x + half], sum);
  }
  if (threadIdx.x >= lanes || c >= s.C) return;
  const auto divisor = static_cast<Compute<T>>(rows.divisor * columns.divisor);
  store_pack(y + out * s.C + c, round_to<T>(quotient(sum, divisor)));
}

int64_t largest(const PoolWindow* windows, int64_t O) {
  int64_t size = 0;
  for (int64_t o = 0; o < O; ++o)
    if (windows[o].end - windows[o].begin > size) size = windows[o].end - windows[o].begin;
  return size;
}

template <typename T>
void average_forward(const WindowPool2dShape& s, const T* x, T* y) {
  if (s.N * s.C * s.OH * s.OW == 0) return;
  constexpr int64_t kFew = 1 << 16, kLarge = 32;  // a quarter of what a large GPU runs at once; pixels
  const Tables tables(s, false);
  constexpr int kPack = 16 / sizeof(T);
  const int64_t outputs = s.N * s.OH * s.OW, pixels = largest(s.rows, s.OH) * largest(s.columns, s.OW);
  const int64_t packs =
      s.C % kPack == 0 ? s.C / kPack : s.C;  // wherever x begins: it must not change the order of sums
  unsigned lanes = 1;
  while (lanes < 8 && lanes < packs) lanes *= 2;  // 8: 128 bytes side by side, and many blocks
  const auto run = [&](auto n) {
    if (outputs * packs >= kFew || pixels < kLarge)
      return for_pixels<n.value>(s.N, s.OH, s.OW, s.C, AverageForward<n.value, T>{tables.shape, x, y});
    const int64_t width = int64_t{lanes} * n.value;
    const dim3 blocks(static_cast<unsigned>(outputs), static_cast<unsigned>((s.C + width - 1) / width));
    launch(average_kernel<n.value, T>, blocks, kThreads, tables.shape, lanes, x, y);
  };
  with_packs<T>(run, s.C, x, y);
}

// One input pixel.
template <int n, typename T>
struct AverageBackward {
  WindowPool2dShape s;
  const Holders *all_rows, *all_columns;
  const T* grad_y;
  T* grad_x;

  __device__ void operator()(const Place& in) const {
    const Holders rows = all_rows[in.h], columns = all_columns[in.w];
    const auto divisor = static_cast<Compute<T>>(rows.divisor * columns.divisor);
    const T* row = grad_y + ((in.n * s.OH + rows.first) * s.OW + columns.first) * s.C + in.c;
    Pack<Compute<T>, n> sum = {};
    for (int64_t oh = rows.first; oh < rows.last; ++oh, row += s.OW * s.C)
      for (int64_t ow = 0; ow < columns.last - columns.first; ++ow) {
        const auto grad = to_compute(load_pack<n>(row + ow * s.C));
        if (divisor != 0)
          add(grad, sum);
        else
          add(quotient(grad, static_cast<Compute<T>>(s.rows[oh].divisor * s.columns[columns.first + ow].divisor)), sum);
      }
    store_pack(grad_x + in.at, round_to<T>(divisor != 0 ? quotient(sum, divisor) : sum));
  }
};

template <typename T>
void average_backward(const WindowPool2dShape& s, const T* grad_y, T* grad_x) {
  if (s.N * s.C == 0) return;
  const Tables tables(s, true);
  const auto run = [&](auto n) {
    for_pixels<n.value>(s.N, s.IH, s.IW, s.C,
                        AverageBackward<n.value, T>{tables.shape, tables.rows, tables.columns, grad_y, grad_x});
  };
  with_packs<T>(run, s.C, grad_y, grad_x);
}

template <int n, typename T>
struct MaxForward {
  WindowPool2dShape s;
  const T* x;
  T* y;
  int64_t* indices;

  __device__ void operator()(const Place& out) const {
    const PoolWindow rows = s.rows[out.h], columns = s.columns[out.w];
    Largest<n, T> largest(rows.begin * s.IW + columns.begin);
    for (int64_t ih = rows.begin; ih < rows.end; ++ih)
      for (int64_t iw = columns.begin; iw < columns.end; ++iw)
        largest.see(load_pack<n>(x + ((out.n * s.IH + ih) * s.IW + iw) * s.C + out.c), ih * s.IW + iw);
    largest.store(y + out.at, indices + out.at);
  }
};

template <typename T>
void max_forward(const WindowPool2dShape& s, const T* x, T* y, int64_t* indices) {
  if (s.N * s.C * s.OH * s.OW == 0) return;
  const Tables tables(s, false);
  const auto run = [&](auto n) {
    for_pixels<n.value>(s.N, s.OH, s.OW, s.C, MaxForward<n.value, T>{tables.shape, x, y, indices});
  };
  with_packs<T>(run, s.C, x, y, indices);
}

// One input pixel.
template <int n, typename T>
struct MaxBackward {
  WindowPool2dShape s;
  const Holders *all_rows, *all_columns;
  const T* grad_y;
  const int64_t* indices;
  T* grad_x;

  __device__ void operator()(const Place& in) const {
    const Holders rows = all_rows[in.h], columns = all_columns[in.w];
    const int64_t self = in.h * s.IW + in.w;
    Pack<Compute<T>, n> sum = {};
    for (int64_t oh = rows.first; oh < rows.last; ++oh) {
      int64_t at = ((in.n * s.OH + oh) * s.OW + columns.first) * s.C + in.c;
      for (int64_t ow = columns.first; ow < columns.last; ++ow, at += s.C) {
        const Pack<int64_t, n> index = load_pack<n>(indices + at);
        const auto grad = to_compute(load_pack<n>(grad_y + at));
        for (int i = 0; i < n; ++i)
          if (index.v[i] == self) sum.v[i] += grad.v[i];
      }
    }
    store_pack(grad_x + in.at, round_to<T>(sum));
  }
};

template <typename T>
void max_backward(const WindowPool2dShape& s, const T* grad_y, const int64_t* indices, T* grad_x) {
  if (s.N * s.C == 0) return;
  const Tables tables(s, true);
  const auto run = [&](auto n) {
    for_pixels<n.value>(s.N, s.IH, s.IW, s.C,
                        MaxBackward<n.value, T>{tables.shape, tables.rows, tables.columns, grad_y, indices, grad_x});
  };
  with_packs<T>(run, s.C, grad_y, indices, grad_x);
}

template <typename T>
WindowPool2dKernels<T> table() {
  return {average_forward<T>, average_backward<T>, max_forward<T>, max_backward<T>};
}

}  // namespace

template <>
WindowPool2dKernels<float> window_pool2d_kernels<Level::cuda, float>() {
  return table<float>();
}

template <>
WindowPool2dKernels<double> window_pool2d_kernels<Level::cuda, double>() {
  return table<double>();
}

template <>
WindowPool2dKernels<Float16> window_pool2d_kernels<Level::cuda, Float16>() {
  return table<Float16>();
}

template <>
WindowPool2dKernels<BFloat16> window_pool2d_kernels<Level::cuda, BFloat16>() {
  return table<BFloat16>();
}

}  // namespace atrous
