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
BatchNormShape shape_of(const Array<T>& x, double eps) {
  return {x.size(0) * x.size(2) * x.size(3), x.size(1), eps};
}

template <typename T>
double bytes(const Array<T>& x, int passes) {
  return bytes_moved(sizeof(T) * static_cast<double>(passes * x.elements()));
}

template <typename T>
Array<T> channel_vector(const py::object& object, const char* name, int64_t C) {
  Array<T> array(object, name, 1);
  require_shape(array.shape(), {C}, name);
  return array;
}

py::object forward_train(const py::object& x_, const py::object& weight_, const py::object& bias_, double eps) {
  return for_dtype(x_, "batch_norm_forward_train: x", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> x(x_, "batch_norm_forward_train: x", 4, Order::channels_last);
    const BatchNormShape s = shape_of(x, eps);
    const OptionalVector<T> weight(weight_, "batch_norm_forward_train: weight", s.C);
    const OptionalVector<T> bias(bias_, "batch_norm_forward_train: bias", s.C);
    py::array y = empty<T>(x.shape(), Order::channels_last), mean = empty<T>({s.C}), var = empty<T>({s.C});
    T *y_out = mutable_data<T>(y), *mean_out = mutable_data<T>(mean), *var_out = mutable_data<T>(var);
    {
      ReleaseGil gil(bytes(x, 3));
      kernels<T>().forward_train(s, x.data(), weight.data(), bias.data(), y_out, mean_out, var_out);
    }
    return py::make_tuple(y, mean, var);
  });
}

py::object forward_eval(const py::object& x_, const py::object& weight_, const py::object& bias_,
                        const py::object& mean_, const py::object& var_, double eps) {
  return for_dtype(x_, "batch_norm_forward_eval: x", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> x(x_, "batch_norm_forward_eval: x", 4, Order::channels_last);
    const BatchNormShape s = shape_of(x, eps);
    const OptionalVector<T> weight(weight_, "batch_norm_forward_eval: weight", s.C);
    const OptionalVector<T> bias(bias_, "batch_norm_forward_eval: bias", s.C);
    const Array<T> mean = channel_vector<T>(mean_, "batch_norm_forward_eval: mean", s.C);
    const Array<T> var = channel_vector<T>(var_, "batch_norm_forward_eval: var", s.C);
    py::array y = empty<T>(x.shape(), Order::channels_last);
    T* out = mutable_data<T>(y);
    {
      ReleaseGil gil(bytes(x, 2));
      kernels<T>().forward_eval(s, x.data(), weight.data(), bias.data(), mean.data(), var.data(), out);
    }
    return y;
  });
}

template <bool train>
py::object backward(const py::object& grad_y_, const py::object& x_, const py::object& weight_, const py::object& mean_,
                    const py::object& var_, double eps) {
  const std::string function = train ? "batch_norm_backward_train" : "batch_norm_backward_eval";
  const auto name = [&](const char* argument) { return function + ": " + argument; };
  return for_dtype(x_, name("x").c_str(), [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> grad_y(grad_y_, name("grad_y").c_str(), 4, Order::channels_last);
    const Array<T> x(x_, name("x").c_str(), 4, Order::channels_last);
    require_shape(grad_y.shape(), x.shape(), name("grad_y").c_str());
    const BatchNormShape s = shape_of(x, eps);
    const OptionalVector<T> weight(weight_, name("weight").c_str(), s.C);
    const Array<T> mean = channel_vector<T>(mean_, name("mean").c_str(), s.C);
    const Array<T> var = channel_vector<T>(var_, name("var").c_str(), s.C);
    py::array grad_x = empty<T>(x.shape(), Order::channels_last);
    py::array grad_weight = empty<T>({s.C}), grad_bias = empty<T>({s.C});
    T *x_out = mutable_data<T>(grad_x), *weight_out = mutable_data<T>(grad_weight);
    T* bias_out = mutable_data<T>(grad_bias);
    {
      ReleaseGil gil(bytes(x, 5));
      const auto kernel = train ? kernels<T>().backward_train : kernels<T>().backward_eval;
      kernel(s, grad_y.data(), x.data(), weight.data(), mean.data(), var.data(), x_out, weight_out, bias_out);
    }
    return py::make_tuple(grad_x, grad_weight, grad_bias);
  });
}

}  // namespace

void bind_batch_norm(py::module_& m) {
  m.def("batch_norm_forward_train", &forward_train, "x"_a, "weight"_a, "bias"_a, "eps"_a,
        "(y, mean, var): normalises by the batch's own statistics; var is the biased one.");
  m.def("batch_norm_backward_train", &backward<true>, "grad_y"_a, "x"_a, "weight"_a, "mean"_a, "var"_a, "eps"_a,
        "(grad_x, grad_weight, grad_bias), where mean and var depend on x.");
  m.def("batch_norm_forward_eval", &forward_eval, "x"_a, "weight"_a, "bias"_a, "mean"_a, "var"_a, "eps"_a,
        "Normalises by the given statistics.");
  m.def("batch_norm_backward_eval", &backward<false>, "grad_y"_a, "x"_a, "weight"_a, "mean"_a, "var"_a, "eps"_a,
        "(grad_x, grad_weight, grad_bias), where mean and var are constants.");
}

}  // namespace atrous
