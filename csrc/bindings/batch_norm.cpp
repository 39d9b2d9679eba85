#include "kernels/batch_norm.h"

#include "bindings/array.h"
#include "core/cpu_features.h"

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

// mean or var as double: either the batch's own, which are float64, or running ones in x's dtype T.
template <typename T>
class Statistic {
 public:
  Statistic(const py::object& object, const char* name, int64_t C) : values_(C) {
    if (py::isinstance<py::array>(object) && has_dtype<double>(py::reinterpret_borrow<py::array>(object)))
      copy<double>(object, name, C);
    else
      copy<T>(object, name, C);
  }
  const double* data() const { return values_.data(); }

 private:
  template <typename From>
  void copy(const py::object& object, const char* name, int64_t C) {
    const Array<From> array(object, name, 1);
    require_shape(array.shape(), {C}, name);
    for (int64_t c = 0; c < C; ++c) values_.data()[c] = static_cast<double>(array.data()[c]);
  }

  Workspace<double> values_;
};

// weight, bias, mean and var of a call.
template <typename T>
struct Parameters {
  const OptionalVector<T> weight, bias;
  const Statistic<T> mean, var;
  const double eps;

  Parameters(const std::string& function, int64_t C, const py::object& weight_, const py::object& bias_,
             const py::object& mean_, const py::object& var_, double eps_)
      : weight(weight_, (function + ": weight").c_str(), C),
        bias(bias_, (function + ": bias").c_str(), C),
        mean(mean_, (function + ": mean").c_str(), C),
        var(var_, (function + ": var").c_str(), C),
        eps(eps_) {}

  BatchNormParameters<T> view() const { return {weight.data(), bias.data(), mean.data(), var.data(), eps}; }
};

py::object statistics(const py::object& x_) {
  return for_dtype(x_, "batch_norm_statistics: x", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> x(x_, "batch_norm_statistics: x", 4, Order::channels_last);
    const BatchNormShape s = shape_of(x);
    py::array mean = empty<double>({s.C}), var = empty<double>({s.C});
    double *mean_out = mutable_data<double>(mean), *var_out = mutable_data<double>(var);
    {
      ReleaseGil gil(bytes(x, 1));
      kernels<T>().statistics(s, x.data(), mean_out, var_out);
    }
    return py::make_tuple(mean, var);
  });
}

py::object forward(const py::object& x_, const py::object& weight, const py::object& bias, const py::object& mean,
                   const py::object& var, double eps, bool relu, const py::object& residual_, bool relu_last) {
  return for_dtype(x_, "batch_norm_forward: x", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> x(x_, "batch_norm_forward: x", 4, Order::channels_last);
    const BatchNormShape s = shape_of(x);
    const Parameters<T> parameters("batch_norm_forward", s.C, weight, bias, mean, var, eps);
    std::optional<Array<T>> residual;
    if (!residual_.is_none()) {
      residual.emplace(residual_, "batch_norm_forward: residual", 4, Order::channels_last);
      require_shape(residual->shape(), x.shape(), "batch_norm_forward: residual");
    }
    py::array y = empty<T>(x.shape(), Order::channels_last);
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
  const std::string function = train ? "batch_norm_backward_train" : "batch_norm_backward_eval";
  const std::string x_name = function + ": x", grad_name = function + ": grad_y";
  return for_dtype(x_, x_name.c_str(), [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> grad_y(grad_y_, grad_name.c_str(), 4, Order::channels_last);
    const Array<T> x(x_, x_name.c_str(), 4, Order::channels_last);
    require_shape(grad_y.shape(), x.shape(), grad_name.c_str());
    const BatchNormShape s = shape_of(x);
    const Parameters<T> parameters(function, s.C, weight, bias, mean, var, eps);
    py::array grad_x = empty<T>(x.shape(), Order::channels_last);
    py::array grad_weight = empty<T>({s.C}), grad_bias = empty<T>({s.C});
    T *x_out = mutable_data<T>(grad_x), *weight_out = mutable_data<T>(grad_weight);
    T* bias_out = mutable_data<T>(grad_bias);
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
  m.def("batch_norm_statistics", &statistics, "x"_a, "(mean, var) of each channel in float64; var is the biased one.");
  m.def("batch_norm_forward", &forward, "x"_a, "weight"_a, "bias"_a, "mean"_a, "var"_a, "eps"_a, "relu"_a = false,
        "residual"_a = py::none(), "relu_last"_a = false,
        "Normalises by the given statistics; then relu, residual and relu_last where they are asked for.");
  m.def("batch_norm_backward_train", &backward<true>, "grad_y"_a, "x"_a, "weight"_a, "bias"_a, "mean"_a, "var"_a,
        "eps"_a, "relu"_a = false, "(grad_x, grad_weight, grad_bias), where mean and var depend on x.");
  m.def("batch_norm_backward_eval", &backward<false>, "grad_y"_a, "x"_a, "weight"_a, "bias"_a, "mean"_a, "var"_a,
        "eps"_a, "relu"_a = false, "(grad_x, grad_weight, grad_bias), where mean and var are constants.");
}

}  // namespace atrous
