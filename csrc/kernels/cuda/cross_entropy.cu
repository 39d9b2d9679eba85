#include "kernels/cross_entropy.h"
#include "kernels/cuda/rows.h"

namespace atrous {
namespace {

// m = max_c x_c and log sum_c exp(x_c - m) of a row.
template <typename T>
struct LogSum {
  T largest, log_sum;

  template <typename R>
  __device__ LogSum(const R& row, const T* x) : largest(row.max(x)) {
    log_sum = std::log(row.sum([m = largest](unsigned, T v) { return std::exp(v - m); }, x));
  }

  __device__ T loss(T x) const { return log_sum - (x - largest); }  // -log_p
};

// q_c = weight_c * (keep * t_c + uniform)
template <typename T>
struct Smoothing {
  const T* weights;  // or nullptr: ones
  T keep, uniform;
  bool any;

  Smoothing(int64_t C, const T* weight, double label_smoothing)
      : weights(weight),
        keep(T(1 - label_smoothing)),
        uniform(T(label_smoothing / static_cast<double>(C))),
        any(label_smoothing != 0) {}

  __device__ T weight(int64_t c) const { return weights ? weights[c] : T(1); }
  __device__ T q(int64_t c, T t) const { return weight(c) * (keep * t + uniform); }
};

// Class indices. The op refused those out of range (ops/cross_entropy.py); whatever comes, no other memory is read.
struct Classes {
  const int64_t* target;
  int64_t ignore_index, C;

  __device__ bool is_kept(int64_t t) const { return t != ignore_index && t >= 0 && t < C; }
};

template <typename T>
struct Forward {
  static constexpr int arrays = 1;
  static constexpr bool writes = false;
  Classes classes;
  Smoothing<T> smoothing;
  T *losses, *weights, *lse;

  template <typename R>
  __device__ void operator()(const R& row, int64_t p, const T* x, const T*, T*) const {
    const int64_t t = classes.target[p];
    const bool kept = classes.is_kept(t);
    const LogSum<T> sum(row, x);
    const T weight = kept ? smoothing.weight(t) : T(0);
    T loss = kept ? weight * sum.loss(x[t]) : T(0);
    if (smoothing.any) {
      const T all = row.sum([&](unsigned c, T v) { return smoothing.weight(c) * sum.loss(v); }, x);
      if (kept) loss = smoothing.keep * loss + smoothing.uniform * all;
    }
    if (!row.is_first()) return;
    losses[p] = loss;
    weights[p] = weight;
    lse[p] = sum.largest + sum.log_sum;
  }
};

template <typename T>
struct Backward {
  static constexpr int arrays = 1;
  static constexpr bool writes = true;
  Classes classes;
  Smoothing<T> smoothing;
  const T *grad_losses, *lse;

  template <typename R>
  __device__ void operator()(const R& row, int64_t p, const T* x, const T*, T* grad_x) const {
    const int64_t t = classes.target[p];
    const bool kept = classes.is_kept(t), smooth = smoothing.any;
    const T shift = lse[p], grad_loss = kept ? grad_losses[p] : T(0);
    const T at_target = kept ? grad_loss * smoothing.keep * smoothing.weight(t) : T(0);
    const T everywhere = smooth ? grad_loss * smoothing.uniform : T(0);
    const T sum = row.sum([=](unsigned, T v) { return std::exp(v - shift); }, x);
    const T total = smooth ? row.sum([this](unsigned c, T) { return smoothing.weight(c); }, x) : T(0);
    const T scale = (at_target + (smooth ? everywhere * total : T(0))) / sum;
    const auto gradient = [&](unsigned c, T v) {
      T grad = scale * std::exp(v - shift);
      if (smooth) grad -= everywhere * smoothing.weight(c);
      return kept && c == t ? grad - at_target : grad;
    };
    row.map(gradient, grad_x, x);
  }
};

template <typename T>
struct SoftForward {
  static constexpr int arrays = 2;
  static constexpr bool writes = false;
  Smoothing<T> smoothing;
  T *losses, *lse;

  template <typename R>
  __device__ void operator()(const R& row, int64_t p, const T* x, const T* target, T*) const {
    const LogSum<T> sum(row, x);
    const T loss = row.sum([&](unsigned c, T v, T t) { return smoothing.q(c, t) * sum.loss(v); }, x, target);
    if (!row.is_first()) return;
    losses[p] = loss;
    lse[p] = sum.largest + sum.log_sum;
  }
};

template <typename T>
struct SoftBackward {
  static constexpr int arrays = 2;
  static constexpr bool writes = true;
  Smoothing<T> smoothing;
  const T *grad_losses, *lse;

  template <typename R>
  __device__ void operator()(const R& row, int64_t p, const T* x, const T* target, T* grad_x) const {
    const T shift = lse[p], grad_loss = grad_losses[p];
    const T sum = row.sum([=](unsigned, T v) { return std::exp(v - shift); }, x);
    const T scale = grad_loss * row.sum([this](unsigned c, T t) { return smoothing.q(c, t); }, target) / sum;
    const auto gradient = [&](unsigned c, T v, T t) {
      return scale * std::exp(v - shift) - grad_loss * smoothing.q(c, t);
    };
    row.map(gradient, grad_x, x, target);
  }
};

template <typename T>
struct LogSoftmax {
  static constexpr int arrays = 1;
  static constexpr bool writes = true;

  template <typename R>
  __device__ void operator()(const R& row, int64_t, const T* x, const T*, T* y) const {
    const LogSum<T> sum(row, x);
    row.map([&](unsigned, T v) { return (v - sum.largest) - sum.log_sum; }, y, x);
  }
};

template <typename T>
struct LogSoftmaxGradient {
  static constexpr int arrays = 2;
  static constexpr bool writes = true;

  template <typename R>
  __device__ void operator()(const R& row, int64_t, const T* grad_y, const T* y, T* grad_x) const {
    const T sum = row.sum([](unsigned, T g) { return g; }, grad_y);
    row.map([=](unsigned, T g, T v) { return g - std::exp(v) * sum; }, grad_x, grad_y, y);
  }
};

template <typename T>
struct Softmax {
  static constexpr int arrays = 1;
  static constexpr bool writes = true;

  template <typename R>
  __device__ void operator()(const R& row, int64_t, const T* x, const T*, T* y) const {
    const T m = row.max(x), sum = row.sum([=](unsigned, T v) { return std::exp(v - m); }, x);
    row.map([=](unsigned, T v) { return std::exp(v - m) / sum; }, y, x);
  }
};

template <typename T>
struct SoftmaxGradient {
  static constexpr int arrays = 2;
  static constexpr bool writes = true;

  template <typename R>
  __device__ void operator()(const R& row, int64_t, const T* grad_y, const T* y, T* grad_x) const {
    const T sum = row.sum([](unsigned, T g, T v) { return g * v; }, grad_y, y);
    row.map([=](unsigned, T g, T v) { return v * (g - sum); }, grad_x, grad_y, y);
  }
};

// Launchers.

using Shape = CrossEntropyShape;

template <typename T>
void forward(const Shape& s, const T* x, const int64_t* target, const T* weight, int64_t ignore_index,
             double label_smoothing, T* losses, T* weights, T* lse) {
  const Forward<T> f{{target, ignore_index, s.C}, {s.C, weight, label_smoothing}, losses, weights, lse};
  for_each_row<T>(s.P, s.C, f, x, nullptr, nullptr);
}

template <typename T>
void backward(const Shape& s, const T* grad_losses, const T* x, const int64_t* target, const T* lse, const T* weight,
              int64_t ignore_index, double label_smoothing, T* grad_x) {
  const Backward<T> f{{target, ignore_index, s.C}, {s.C, weight, label_smoothing}, grad_losses, lse};
  for_each_row<T>(s.P, s.C, f, x, nullptr, grad_x);
}

template <typename T>
void soft_forward(const Shape& s, const T* x, const T* target, const T* weight, double label_smoothing, T* losses,
                  T* lse) {
  for_each_row<T>(s.P, s.C, SoftForward<T>{{s.C, weight, label_smoothing}, losses, lse}, x, target, nullptr);
}

template <typename T>
void soft_backward(const Shape& s, const T* grad_losses, const T* x, const T* target, const T* lse, const T* weight,
                   double label_smoothing, T* grad_x) {
  for_each_row<T>(s.P, s.C, SoftBackward<T>{{s.C, weight, label_smoothing}, grad_losses, lse}, x, target, grad_x);
}

template <template <typename> class F, typename T>
void map_rows(const Shape& s, const T* x, T* y) {
  for_each_row<T>(s.P, s.C, F<T>{}, x, nullptr, y);
}

template <template <typename> class F, typename T>
void map_rows_back(const Shape& s, const T* grad_y, const T* y, T* grad_x) {
  for_each_row<T>(s.P, s.C, F<T>{}, grad_y, y, grad_x);
}

template <typename T>
CrossEntropyKernels<T> table() {
  return {forward<T>,
          backward<T>,
          soft_forward<T>,
          soft_backward<T>,
          map_rows<LogSoftmax, T>,
          map_rows_back<LogSoftmaxGradient, T>,
          map_rows<Softmax, T>,
          map_rows_back<SoftmaxGradient, T>};
}

}  // namespace

template <>
CrossEntropyKernels<float> cross_entropy_kernels<Level::cuda, float>() {
  return table<float>();
}

template <>
CrossEntropyKernels<double> cross_entropy_kernels<Level::cuda, double>() {
  return table<double>();
}

}  // namespace atrous
