#include "kernels/adam.h"

#include "core/parallel.h"
#include "core/simd.h"
#include "kernels/cpu/vector_math.h"

namespace atrous::ATROUS_LEVEL {
namespace {

inline int64_t clamp_to(int64_t x, int64_t n) { return max_of(0, min_of(x, n)); }

// Calls f(tensor, first, n) for every stretch of n elements. The tensors lie end to end on one line, which is cut into
// pieces: many small tensors share a piece, a large one has many.
template <typename Tensor, typename F>
void for_stretches(int64_t count, const Tensor* tensors, F f) {
  int64_t total = 0;
  for (int64_t t = 0; t < count; ++t) total += divide_up(tensors[t].n, 64) * 64;
  constexpr int64_t kSmall = 1 << 13, kLarge = 1 << 15;  // elements, multiples of every vector width
  constexpr int64_t kAlone = 1 << 16;                    // 40 us of Adam: less than waking a parked worker would save
  const int64_t piece_size = total > 16 * kLarge ? kLarge : total > kAlone ? kSmall : max_of(total, 1);
  parallel_for(divide_up(total, piece_size), [&](int64_t piece, int) {
    int64_t begin = piece * piece_size;
    for (int64_t t = 0; t < count && begin > -piece_size; ++t) {
      const int64_t n = tensors[t].n, first = clamp_to(begin, n), last = clamp_to(begin + piece_size, n);
      if (first < last) f(tensors[t], first, last - first);
      begin -= divide_up(n, 64) * 64;
    }
  });
}

template <typename T>
inline V<T> flush_subnormal(V<T> x) {
  return absolute<T>(x) < Format<T>::smallest_normal ? V<T>{} : x;
}

// The options in the form that the loop over elements wants.
template <typename T>
struct AdamStep {
  T keep, weight_decay, beta1, rest1, beta2, rest2, step_size, inverse_correction2, eps;
  bool add_decay, from_moment;

  explicit AdamStep(const AdamOptions& o) {
    const double correction1 = 1 - __builtin_pow(o.beta1, static_cast<double>(o.step));
    const double correction2 = 1 - __builtin_pow(o.beta2, static_cast<double>(o.step));
    keep = T(o.decoupled ? 1 - o.lr * o.weight_decay : 1);
    weight_decay = T(o.weight_decay);
    beta1 = T(o.beta1), rest1 = T(1 - o.beta1);
    beta2 = T(o.beta2), rest2 = T(1 - o.beta2);
    step_size = T(o.lr / correction1);
    inverse_correction2 = T(1 / __builtin_sqrt(correction2));
    eps = T(o.eps);
    add_decay = !o.decoupled && o.weight_decay != 0;
    from_moment = o.beta1 > 0.5;  // the larger part of m's new value is the old one
  }

  inline void update_moments(V<T> grad, V<T>& param, V<T>& m, V<T>& v) const {
    param *= keep;
    if (add_decay) grad += weight_decay * param;
    m = flush_subnormal<T>(from_moment ? m + rest1 * (grad - m) : grad - beta1 * (grad - m));
    v = flush_subnormal<T>(beta2 * v + rest2 * grad * grad);
  }

  inline void update_param(V<T>& param, V<T> m, V<T> v) const {
    param -= step_size * m / (square_root<T>(v) * inverse_correction2 + eps);
  }
};

// Calls f(grad, state&...) with a vector of each array, and stores the state.
template <typename T, typename F, typename... State>
inline void update_vectors(int64_t n, F f, const T* grad, State*... state) {
  constexpr int width = Vec<T>::width;
  int64_t i = 0;
  for (; i + width <= n; i += width)
    [&](V<State>... values) {
      f(load(grad + i), values...);
      (store(state + i, values), ...);
    }(load(state + i)...);
  if (const int64_t rest = n - i; rest > 0)
    [&](V<State>... values) {
      f(load_first(grad + i, rest), values...);
      (store_first(state + i, rest, values), ...);
    }(load_first(state + i, rest)...);
}

template <typename T>
void adam_step(int64_t count, const AdamTensor<T>* tensors, const AdamOptions& options) {
  const AdamStep<T> step(options);
  const auto plain = [step](V<T> grad, V<T>& param, V<T>& m, V<T>& v) {
    step.update_moments(grad, param, m, v);
    step.update_param(param, m, v);
  };
  const auto amsgrad = [step](V<T> grad, V<T>& param, V<T>& m, V<T>& v, V<T>& v_max) {
    step.update_moments(grad, param, m, v);
    v_max = v <= v_max || v_max != v_max ? v_max : v;
    step.update_param(param, m, v_max);
  };
  for_stretches(count, tensors, [=](const AdamTensor<T>& t, int64_t i, int64_t n) {
    if (t.max_exp_avg_sq)
      update_vectors(n, amsgrad, t.grad + i, t.param + i, t.exp_avg + i, t.exp_avg_sq + i, t.max_exp_avg_sq + i);
    else
      update_vectors(n, plain, t.grad + i, t.param + i, t.exp_avg + i, t.exp_avg_sq + i);
  });
}

template <typename T>
void sgd_step(int64_t count, const SgdTensor<T>* tensors, const SgdOptions& o) {
  const T lr = T(o.lr), decay = T(o.weight_decay), momentum = T(o.momentum), rest = T(1 - o.dampening);
  const bool first = o.first, nesterov = o.nesterov;
  const auto plain = [=](V<T> grad, V<T>& param) {
    if (decay != 0) grad += decay * param;
    param -= lr * grad;
  };
  const auto with_momentum = [=](V<T> grad, V<T>& param, V<T>& buffer) {
    if (decay != 0) grad += decay * param;
    buffer = first ? grad : momentum * buffer + rest * grad;
    param -= lr * (nesterov ? grad + momentum * buffer : buffer);
  };
  for_stretches(count, tensors, [=](const SgdTensor<T>& t, int64_t i, int64_t n) {
    if (t.momentum_buffer)
      update_vectors(n, with_momentum, t.grad + i, t.param + i, t.momentum_buffer + i);
    else
      update_vectors(n, plain, t.grad + i, t.param + i);
  });
}

template <typename T>
struct RmspropStep {
  T lr, alpha, rest, eps, weight_decay, momentum;
  bool from_average;  // the larger part of the average's new value is the old one

  explicit RmspropStep(const RmspropOptions& o)
      : lr(T(o.lr)),
        alpha(T(o.alpha)),
        rest(T(1 - o.alpha)),
        eps(T(o.eps)),
        weight_decay(T(o.weight_decay)),
        momentum(T(o.momentum)),
        from_average(o.alpha > 0.5) {}

  inline V<T> decayed(V<T> grad, V<T> param) const { return weight_decay != 0 ? grad + weight_decay * param : grad; }

  inline V<T> scaled(V<T> grad, V<T>& v) const {
    v = flush_subnormal<T>(alpha * v + rest * grad * grad);
    return grad / (square_root<T>(v) + eps);
  }

  inline V<T> scaled(V<T> grad, V<T>& v, V<T>& average) const {
    v = flush_subnormal<T>(alpha * v + rest * grad * grad);
    const V<T> change = grad - average;
    average = flush_subnormal<T>(from_average ? average + rest * change : grad - alpha * change);
    return grad / (square_root<T>(v - average * average) + eps);
  }

  inline void move(V<T>& param, V<T> by) const { param -= lr * by; }

  inline void move(V<T>& param, V<T> by, V<T>& buffer) const {
    buffer = flush_subnormal<T>(momentum * buffer + by);
    param -= lr * buffer;
  }
};

template <typename T>
void rmsprop_step(int64_t count, const RmspropTensor<T>* tensors, const RmspropOptions& options) {
  const RmspropStep<T> step(options);
  const auto plain = [step](V<T> grad, V<T>& param, V<T>& v) {
    step.move(param, step.scaled(step.decayed(grad, param), v));
  };
  const auto with_momentum = [step](V<T> grad, V<T>& param, V<T>& v, V<T>& buffer) {
    step.move(param, step.scaled(step.decayed(grad, param), v), buffer);
  };
  const auto centered = [step](V<T> grad, V<T>& param, V<T>& v, V<T>& average) {
    step.move(param, step.scaled(step.decayed(grad, param), v, average));
  };
  const auto with_both = [step](V<T> grad, V<T>& param, V<T>& v, V<T>& average, V<T>& buffer) {
    step.move(param, step.scaled(step.decayed(grad, param), v, average), buffer);
  };
  for_stretches(count, tensors, [=](const RmspropTensor<T>& t, int64_t i, int64_t n) {
    const T* grad = t.grad + i;
    T *param = t.param + i, *v = t.square_avg + i;
    if (t.grad_avg && t.momentum_buffer)
      update_vectors(n, with_both, grad, param, v, t.grad_avg + i, t.momentum_buffer + i);
    else if (t.grad_avg)
      update_vectors(n, centered, grad, param, v, t.grad_avg + i);
    else if (t.momentum_buffer)
      update_vectors(n, with_momentum, grad, param, v, t.momentum_buffer + i);
    else
      update_vectors(n, plain, grad, param, v);
  });
}

template <typename T>
void adagrad_step(int64_t count, const AdagradTensor<T>* tensors, const AdagradOptions& o) {
  const T lr = T(o.lr), eps = T(o.eps), decay = T(o.weight_decay);
  const auto step = [=](V<T> grad, V<T>& param, V<T>& sum) {
    if (decay != 0) grad += decay * param;
    sum += grad * grad;
    param -= lr * grad / (square_root<T>(sum) + eps);
  };
  for_stretches(count, tensors, [=](const AdagradTensor<T>& t, int64_t i, int64_t n) {
    update_vectors(n, step, t.grad + i, t.param + i, t.sum + i);
  });
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL

namespace atrous {

template <>
AdamKernels<float> adam_kernels<Level::ATROUS_LEVEL, float>() {
  return {ATROUS_LEVEL::adam_step<float>, ATROUS_LEVEL::sgd_step<float>, ATROUS_LEVEL::rmsprop_step<float>,
          ATROUS_LEVEL::adagrad_step<float>};
}

template <>
AdamKernels<double> adam_kernels<Level::ATROUS_LEVEL, double>() {
  return {ATROUS_LEVEL::adam_step<double>, ATROUS_LEVEL::sgd_step<double>, ATROUS_LEVEL::rmsprop_step<double>,
          ATROUS_LEVEL::adagrad_step<double>};
}

}  // namespace atrous
