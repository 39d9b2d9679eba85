#include "kernels/cross_entropy.h"

#include "core/memory.h"
#include "core/parallel.h"
#include "core/simd.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/vector_math.h"

namespace atrous::ATROUS_LEVEL {
namespace {

using Shape = CrossEntropyShape;

// m = max_c x_c and log sum_c exp(x_c - m) of the rows of one block.
template <typename T>
struct LogSums {
  T largest[kBlock], log_sum[kBlock] = {};

  template <typename RowOf>
  LogSums(const T* x, int64_t C, int64_t first, int64_t count, RowOf row_of) {
    for (int64_t i = 0; i < count; ++i) {
      const auto row = row_of(first + i);
      const T* x_row = x + (first + i) * C;
      const T m = largest[i] = row.max(x_row);
      log_sum[i] = row.sum([=](V<T> v) { return exp<T>(v - m); }, x_row);
    }
    for (int64_t i = 0; i < count; i += Vec<T>::width) store(log_sum + i, log<T>(load(log_sum + i)));
  }
};

// weight and smoothing as the kernels want them: q_c = weight_c * (keep * t_c + uniform).
template <typename T>
class Targets {
 public:
  Targets(int64_t C, const T* weight, double label_smoothing)
      : keep(T(1 - label_smoothing)),
        uniform(T(label_smoothing / static_cast<double>(C))),
        weights_(divide_up(C, Vec<T>::width) * Vec<T>::width) {
    const int64_t padded = divide_up(C, Vec<T>::width) * Vec<T>::width;
    for (int64_t c = 0; c < padded; ++c) weights_.data()[c] = c >= C ? T(0) : weight ? weight[c] : T(1);
  }

  const T* weights() const { return weights_.data(); }  // of every class, filled up to a whole vector

  T weight_sum(int64_t C) const {
    double total = 0;
    for (int64_t c = 0; c < C; ++c) total += static_cast<double>(weights()[c]);
    return T(total);
  }

  const T keep, uniform;

 private:
  Workspace<T> weights_;
};

// The binding refused classes out of range, but another Python thread may have written to the targets since.
inline bool is_kept(int64_t t, int64_t C, int64_t ignore_index) { return t != ignore_index && t >= 0 && t < C; }

template <typename T>
void forward(const Shape& s, const T* x, const int64_t* target, const T* weight, int64_t ignore_index,
             double label_smoothing, T* losses, T* weights, T* lse) {
  const Targets<T> q(s.C, weight, label_smoothing);
  for_row_blocks<T>(s.P, s.C, [&](int64_t first, int64_t count, auto row_of) {
    const LogSums<T> sums(x, s.C, first, count, row_of);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t p = first + i;
      const T m = sums.largest[i], log_sum = sums.log_sum[i];
      const int64_t t = target[p];
      const bool kept = is_kept(t, s.C, ignore_index);
      lse[p] = m + log_sum;
      weights[p] = kept ? q.weights()[t] : T(0);
      T loss = kept ? weights[p] * (log_sum - (x[p * s.C + t] - m)) : T(0);
      if (kept && label_smoothing != 0)
        loss = q.keep * loss + q.uniform * row_of(p).sum([=](V<T> w, V<T> v) { return w * (log_sum - (v - m)); },
                                                         q.weights(), x + p * s.C);
      losses[p] = loss;
    }
  });
}

template <typename T>
void backward(const Shape& s, const T* grad_losses, const T* x, const int64_t* target, const T* lse, const T* weight,
              int64_t ignore_index, double label_smoothing, T* grad_x) {
  const Targets<T> q(s.C, weight, label_smoothing);
  const T weight_sum = q.weight_sum(s.C);
  for_row_blocks<T>(s.P, s.C, [&](int64_t first, int64_t count, auto row_of) {
    for (int64_t p = first; p < first + count; ++p) {
      const auto row = row_of(p);
      T* grad = grad_x + p * s.C;
      const T shift = lse[p];
      const T sum = row.map_sum([=](V<T> v) { return exp<T>(v - shift); }, grad, x + p * s.C);
      const int64_t t = target[p];
      const bool kept = is_kept(t, s.C, ignore_index);
      const T at_target = kept ? grad_losses[p] * q.keep * q.weights()[t] : T(0);
      if (label_smoothing == 0) {
        const T scale = at_target / sum;
        row.map([=](V<T> e) { return scale * e; }, grad, grad);
      } else {
        const T everywhere = kept ? grad_losses[p] * q.uniform : T(0);
        const T scale = (at_target + everywhere * weight_sum) / sum;
        row.map([=](V<T> w, V<T> e) { return scale * e - everywhere * w; }, grad, q.weights(), grad);
      }
      if (kept) grad[t] -= at_target;
    }
  });
}

template <typename T>
void soft_forward(const Shape& s, const T* x, const T* target, const T* weight, double label_smoothing, T* losses,
                  T* lse) {
  const Targets<T> q(s.C, weight, label_smoothing);
  for_row_blocks<T>(s.P, s.C, [&](int64_t first, int64_t count, auto row_of) {
    const LogSums<T> sums(x, s.C, first, count, row_of);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t p = first + i;
      const T m = sums.largest[i], log_sum = sums.log_sum[i], keep = q.keep, uniform = q.uniform;
      const auto term = [=](V<T> w, V<T> t, V<T> v) { return w * (keep * t + uniform) * (log_sum - (v - m)); };
      losses[p] = row_of(p).sum(term, q.weights(), target + p * s.C, x + p * s.C);
      lse[p] = m + log_sum;
    }
  });
}

template <typename T>
void soft_backward(const Shape& s, const T* grad_losses, const T* x, const T* target, const T* lse, const T* weight,
                   double label_smoothing, T* grad_x) {
  const Targets<T> targets(s.C, weight, label_smoothing);
  const T keep = targets.keep, uniform = targets.uniform;
  const auto q = [=](V<T> w, V<T> t) { return w * (keep * t + uniform); };
  for_row_blocks<T>(s.P, s.C, [&](int64_t first, int64_t count, auto row_of) {
    for (int64_t p = first; p < first + count; ++p) {
      const auto row = row_of(p);
      T* grad = grad_x + p * s.C;
      const T *weights = targets.weights(), *t = target + p * s.C, shift = lse[p], grad_loss = grad_losses[p];
      const T sum = row.map_sum([=](V<T> v) { return exp<T>(v - shift); }, grad, x + p * s.C);
      const T scale = grad_loss * row.sum(q, weights, t) / sum;
      row.map([=](V<T> w, V<T> u, V<T> e) { return scale * e - grad_loss * q(w, u); }, grad, weights, t, grad);
    }
  });
}

template <typename T>
void log_softmax_forward(const Shape& s, const T* x, T* y) {
  for_row_blocks<T>(s.P, s.C, [&](int64_t first, int64_t count, auto row_of) {
    const LogSums<T> sums(x, s.C, first, count, row_of);
    for (int64_t i = 0; i < count; ++i) {
      const T m = sums.largest[i], log_sum = sums.log_sum[i];
      row_of(first + i).map([=](V<T> v) { return (v - m) - log_sum; }, y + (first + i) * s.C, x + (first + i) * s.C);
    }
  });
}

// Calls f(row, offset of the row's first element) for every row.
template <typename T, typename F>
void for_rows(const Shape& s, F f) {
  for_row_blocks<T>(s.P, s.C, [&](int64_t first, int64_t count, auto row_of) {
    for (int64_t p = first; p < first + count; ++p) f(row_of(p), p * s.C);
  });
}

template <typename T>
void log_softmax_backward(const Shape& s, const T* grad_y, const T* y, T* grad_x) {
  for_rows<T>(s, [=](const Row<T>& row, int64_t at) {
    const T sum = row.sum([](V<T> g) { return g; }, grad_y + at);
    row.map([=](V<T> g, V<T> v) { return g - exp<T>(v) * sum; }, grad_x + at, grad_y + at, y + at);
  });
}

template <typename T>
void softmax_forward(const Shape& s, const T* x, T* y) {
  for_rows<T>(s, [=](const Row<T>& row, int64_t at) {
    const T m = row.max(x + at);
    const T sum = row.map_sum([=](V<T> v) { return exp<T>(v - m); }, y + at, x + at);
    row.map([=](V<T> e) { return e / sum; }, y + at, y + at);
  });
}

template <typename T>
void softmax_backward(const Shape& s, const T* grad_y, const T* y, T* grad_x) {
  for_rows<T>(s, [=](const Row<T>& row, int64_t at) {
    const T sum = row.sum([](V<T> g, V<T> v) { return g * v; }, grad_y + at, y + at);
    row.map([=](V<T> g, V<T> v) { return v * (g - sum); }, grad_x + at, grad_y + at, y + at);
  });
}

template <typename T>
CrossEntropyKernels<T> table() {
  return {forward<T>,
          backward<T>,
          soft_forward<T>,
          soft_backward<T>,
          log_softmax_forward<T>,
          log_softmax_backward<T>,
          softmax_forward<T>,
          softmax_backward<T>};
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL

namespace atrous {

template <>
CrossEntropyKernels<float> cross_entropy_kernels<Level::ATROUS_LEVEL, float>() {
  return ATROUS_LEVEL::table<float>();
}

template <>
CrossEntropyKernels<double> cross_entropy_kernels<Level::ATROUS_LEVEL, double>() {
  return ATROUS_LEVEL::table<double>();
}

}  // namespace atrous
