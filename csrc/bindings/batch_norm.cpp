#include "kernels/batch_norm.h"

#include "bindings/array.h"

namespace atrous {
namespace {

using namespace py::literals;

template <typename T>
BatchNormKernels<T> kernels() {
  return at_level([](auto level) { return batch_norm_kernels<decltype(level)::value, T>(); });
}

template <typename T>
BatchNormShape shape_of(const Array<T>& x) {
  return {x.size(0) * x.size(2) * x.size(3), x.size(1)};
}

template <typename T>
double bytes(const Array<T>& x, int passes) {
  return bytes_moved(sizeof(T) * static_cast<double>(passes * x.elements()));
}

// What a function's arguments are called in messages; made once.
struct Names {
  std::string x, weight, bias, mean, var, grad_y, residual;

  explicit Names(const std::string& function)
      : x(function + ": x"),
        weight(function + ": weight"),
        bias(function + ": bias"),
        mean(function + ": mean"),
        var(function + ": var"),
        grad_y(function + ": grad_y"),
        residual(function + ": residual") {}
};

// mean or var as double: the batch's own are float64, running ones have the dtype T of the parameters.
template <typename T>
class Statistic {
 public:
  Statistic(const py::object& object, const char* name, int64_t C) {
    if (py::isinstance<NdArray>(object) && has_dtype<double>(py::reinterpret_borrow<NdArray>(object))) {
      data_ = values_.emplace(object, name, 1).data();
      require_shape(values_->shape(), {C}, name);
      return;
    }
    const Array<T> values(object, name, 1);
    require_shape(values.shape(), {C}, name);
    if constexpr (std::is_same_v<T, float>) widened_ = widened(values.data(), C);
    data_ = widened_.get();
  }
  const double* data() const { return data_; }

 private:
  std::optional<Array<double>> values_;
  std::shared_ptr<double> widened_;
  const double* data_;
};

// weight, bias, mean and var of a call on an x of T.
template <typename T>
struct Parameters {
  const OptionalVector<Compute<T>> weight, bias;
  const Statistic<Compute<T>> mean, var;
  const double eps;

  Parameters(const Names& names, int64_t C, const py::object& weight_, const py::object& bias_, const py::object& mean_,
             const py::object& var_, double eps_)
      : weight(weight_, names.weight.c_str(), C),
        bias(bias_, names.bias.c_str(), C),
        mean(mean_, names.mean.c_str(), C),
        var(var_, names.var.c_str(), C),
        eps(eps_) {}

  BatchNormParameters<T> view() const { return {weight.data(), bias.data(), mean.data(), var.data(), eps}; }
};

// An array of this shape that is written in place, in its own strides.
template <typename T>
class Running {
 public:
  Running(const py::object& object, const char* name, const std::vector<int64_t>& shape) {
    const Array<T> checked(object, name, static_cast<int>(shape.size()));
    require_shape(checked.shape(), shape, name);
    array_ = py::reinterpret_borrow<NdArray>(object);
    require(array_.writeable(), name, " is read-only");
    require(reinterpret_cast<uintptr_t>(array_.data()) % alignof(T) == 0, name, " is not aligned");
    require(shape.empty() || array_.strides(0) % sizeof(T) == 0, name, " is not aligned");
  }

  T* data() { return mutable_data<T>(array_); }
  int64_t stride() const { return array_.strides(0) / static_cast<int64_t>(sizeof(T)); }

 private:
  NdArray array_;
};

// running_mean and running_var, both or neither, and batches or None.
template <typename T>
class RunningArguments {
 public:
  RunningArguments(const BatchNormShape& s, const py::object& mean, const py::object& var, double momentum,
                   const py::object& batches)
      : view_{nullptr, nullptr, 0, 0, nullptr, momentum} {
    if (mean.is_none() && var.is_none()) return;
    require(s.P > 1, "batch_norm_statistics: x has ", s.P, " values a channel; expected 2 or more");
    mean_.emplace(mean, "batch_norm_statistics: running_mean", std::vector<int64_t>{s.C});
    var_.emplace(var, "batch_norm_statistics: running_var", std::vector<int64_t>{s.C});
    if (!batches.is_none()) batches_.emplace(batches, "batch_norm_statistics: batches", std::vector<int64_t>{});
    view_ = {mean_->data(), var_->data(), mean_->stride(), var_->stride(), batches_ ? batches_->data() : nullptr,
             momentum};
  }
  const RunningStatistics<T>& view() const { return view_; }

 private:
  std::optional<Running<Compute<T>>> mean_, var_;
  std::optional<Running<int64_t>> batches_;
  RunningStatistics<T> view_;
};

py::object statistics(const py::object& x_, const py::object& running_mean, const py::object& running_var,
                      double momentum, const py::object& batches) {
  return for_any_dtype(x_, "batch_norm_statistics: x", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> x(x_, "batch_norm_statistics: x", 4, Order::channels_last);
    const BatchNormShape s = shape_of(x);
    const RunningArguments<T> running(s, running_mean, running_var, momentum, batches);
    NdArray mean = empty<double>({s.C}), var = empty<double>({s.C});
    double *mean_out = mutable_data<double>(mean), *var_out = mutable_data<double>(var);
    {
      ReleaseGil gil(bytes(x, 1));
      kernels<T>().statistics(s, x.data(), mean_out, var_out, running.view());
    }
    return py::make_tuple(mean, var);
  });
}

py::object forward(const py::object& x_, const py::object& weight, const py::object& bias, const py::object& mean,
                   const py::object& var, double eps, bool relu, const py::object& residual_, bool relu_last) {
  static const Names names("batch_norm_forward");
  return for_any_dtype(x_, names.x.c_str(), [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> x(x_, names.x.c_str(), 4, Order::channels_last);
    const BatchNormShape s = shape_of(x);
    const Parameters<T> parameters(names, s.C, weight, bias, mean, var, eps);
    std::optional<Array<T>> residual;
    if (!residual_.is_none()) {
      residual.emplace(residual_, names.residual.c_str(), 4, Order::channels_last);
      require_shape(residual->shape(), x.shape(), names.residual.c_str());
    }
    NdArray y = empty<T>(x.shape(), Order::channels_last);
    T* out = mutable_data<T>(y);
    {
      ReleaseGil gil(bytes(x, residual ? 3 : 2));
      kernels<T>().forward(s, x.data(), parameters.view(), relu, residual ? residual->data() : nullptr, relu_last, out);
    }
    return y;
  });
}

template <bool train>
py::object backward(const py::object& grad_y_, const py::object& x_, const py::object& weight, const py::object& bias,
                    const py::object& mean, const py::object& var, double eps, bool relu) {
  static const Names names(train ? "batch_norm_backward_train" : "batch_norm_backward_eval");
  return for_any_dtype(x_, names.x.c_str(), [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> grad_y(grad_y_, names.grad_y.c_str(), 4, Order::channels_last);
    const Array<T> x(x_, names.x.c_str(), 4, Order::channels_last);
    require_shape(grad_y.shape(), x.shape(), names.grad_y.c_str());
    const BatchNormShape s = shape_of(x);
    const Parameters<T> parameters(names, s.C, weight, bias, mean, var, eps);
    NdArray grad_x = empty<T>(x.shape(), Order::channels_last);
    NdArray grad_weight = empty<Compute<T>>({s.C}), grad_bias = empty<Compute<T>>({s.C});
    T* x_out = mutable_data<T>(grad_x);
    auto *weight_out = mutable_data<Compute<T>>(grad_weight), *bias_out = mutable_data<Compute<T>>(grad_bias);
    {
      ReleaseGil gil(bytes(x, 5));
      const auto kernel = train ? kernels<T>().backward_train : kernels<T>().backward_eval;
      kernel(s, grad_y.data(), x.data(), parameters.view(), relu, x_out, weight_out, bias_out);
    }
    return py::make_tuple(grad_x, grad_weight, grad_bias);
  });
}

}  // namespace

void bind_batch_norm(py::module_& m) {
  m.def("batch_norm_statistics", &statistics, "x"_a, "running_mean"_a = py::none(), "running_var"_a = py::none(),
        "momentum"_a = 0.0, "batches"_a = py::none(),
        "(mean, var) of each channel in float64; var is the biased one. Running statistics move towards them, in "
        "place, and batches counts one more.");
  m.def("batch_norm_forward", &forward, "x"_a, "weight"_a, "bias"_a, "mean"_a, "var"_a, "eps"_a, "relu"_a = false,
        "residual"_a = py::none(), "relu_last"_a = false,
        "Normalises by the given statistics; then relu, residual and relu_last where they are asked for.");
  m.def("batch_norm_backward_train", &backward<true>, "grad_y"_a, "x"_a, "weight"_a, "bias"_a, "mean"_a, "var"_a,
        "eps"_a, "relu"_a = false, "(grad_x, grad_weight, grad_bias), where mean and var depend on x.");
  m.def("batch_norm_backward_eval", &backward<false>, "grad_y"_a, "x"_a, "weight"_a, "bias"_a, "mean"_a, "var"_a,
        "eps"_a, "relu"_a = false, "(grad_x, grad_weight, grad_bias), where mean and var are constants.");
}

}  // namespace atrous
