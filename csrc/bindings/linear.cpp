#include "kernels/linear.h"

#include "bindings/array.h"

namespace atrous {
namespace {

using namespace py::literals;

template <typename T>
LinearKernels<T> kernels() {
  return at_level([](auto level) { return linear_kernels<decltype(level)::value, T>(); });
}

double operations(const MatmulShape& s) {
  return 2.0 * static_cast<double>(s.batch) * static_cast<double>(s.M) * static_cast<double>(s.N) *
         static_cast<double>(s.K);
}

template <typename T>
py::object run(const MatmulShape& s, const T* a, const T* b, const Epilogue<T>& epilogue,
               const std::vector<int64_t>& shape) {
  NdArray c = empty<T>(shape);
  T* out = mutable_data<T>(c);
  {
    ReleaseGil gil(operations(s));
    kernels<T>().matmul(s, a, b, epilogue, out);
  }
  return c;
}

void check_inner(const char* function, int64_t a, int64_t b) {
  require(a == b, function, ": inner sizes ", a, " and ", b, " differ");
}

py::object forward(const py::object& x_, const py::object& weight_, const py::object& bias_, bool relu) {
  return for_dtype(x_, "linear_forward: x", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> x(x_, "linear_forward: x", 2), weight(weight_, "linear_forward: weight", 2);
    const int64_t M = x.size(0), K = x.size(1), N = weight.size(0);
    check_inner("linear_forward", K, weight.size(1));
    const OptionalVector<T> bias(bias_, "linear_forward: bias", N);
    const Epilogue<T> epilogue{nullptr, bias.data(), relu, nullptr, false};
    return run<T>({1, M, N, K, 0, K, 1, 0, 1, K}, x.data(), weight.data(), epilogue, {M, N});
  });
}

py::object backward_input(const py::object& grad_y_, const py::object& weight_) {
  return for_dtype(grad_y_, "linear_backward_input: grad_y", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> grad_y(grad_y_, "linear_backward_input: grad_y", 2),
        weight(weight_, "linear_backward_input: weight", 2);
    const int64_t M = grad_y.size(0), K = grad_y.size(1), N = weight.size(1);
    check_inner("linear_backward_input", K, weight.size(0));
    return run<T>({1, M, N, K, 0, K, 1, 0, N, 1}, grad_y.data(), weight.data(), {}, {M, N});
  });
}

py::object backward_weight(const py::object& grad_y_, const py::object& x_) {
  return for_dtype(grad_y_, "linear_backward_weight: grad_y", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> grad_y(grad_y_, "linear_backward_weight: grad_y", 2), x(x_, "linear_backward_weight: x", 2);
    const int64_t K = grad_y.size(0), M = grad_y.size(1), N = x.size(1);
    check_inner("linear_backward_weight", K, x.size(0));
    return run<T>({1, M, N, K, 0, 1, M, 0, N, 1}, grad_y.data(), x.data(), {}, {M, N});
  });
}

py::object backward_bias(const py::object& grad_y_) {
  return for_dtype(grad_y_, "linear_backward_bias: grad_y", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> grad_y(grad_y_, "linear_backward_bias: grad_y", 2);
    NdArray grad_bias = empty<T>({grad_y.size(1)});
    T* out = mutable_data<T>(grad_bias);
    {
      ReleaseGil gil(bytes_moved(static_cast<double>(grad_y.elements()) * sizeof(T)));
      kernels<T>().backward_bias(grad_y.size(0), grad_y.size(1), grad_y.data(), out);
    }
    return grad_bias;
  });
}

// A matrix stack as matmul takes it: a transposed view passes without a copy.
template <typename T>
struct Matrices {
  Matrices(const py::object& object, const char* name)
      : transposed(is_transposed(object)), array(transposed ? swapped(object) : object, name, -1) {
    require(array.ndim() == 2 || array.ndim() == 3, name, " has shape ", array.shape(), "; expected 2 or 3 dimensions");
    const int64_t rows = size(-2), columns = size(-1);
    row_stride = transposed ? 1 : columns;
    column_stride = transposed ? rows : 1;
    batch_stride = array.ndim() == 3 ? rows * columns : 0;
  }

  int64_t size(int axis) const {  // -2: rows, -1: columns
    return array.size(array.ndim() + (transposed ? -3 - axis : axis));
  }

  static bool is_transposed(const py::object& object) {
    if (!py::isinstance<NdArray>(object)) return false;
    const auto a = py::reinterpret_borrow<NdArray>(object);
    const auto n = a.ndim();
    return n >= 2 && a.strides(n - 2) == a.itemsize() && a.shape(n - 2) > 1 && a.strides(n - 1) != a.itemsize();
  }

  static py::object swapped(const py::object& object) {
    const auto n = py::reinterpret_borrow<NdArray>(object).ndim();
    return object.attr("swapaxes")(n - 2, n - 1);
  }

  bool transposed;
  Array<T> array;
  int64_t row_stride, column_stride, batch_stride;
};

py::object matmul(const py::object& a_, const py::object& b_) {
  return for_dtype(a_, "matmul: a", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Matrices<T> a(a_, "matmul: a"), b(b_, "matmul: b");
    require(a.array.ndim() == b.array.ndim(), "matmul: a and b must both have 2 or both have 3 dimensions");
    check_inner("matmul", a.size(-1), b.size(-2));
    const int64_t M = a.size(-2), N = b.size(-1), K = a.size(-1);
    std::vector<int64_t> shape{M, N};
    int64_t batch = 1;
    if (a.array.ndim() == 3) {
      batch = a.array.size(0);
      require(batch == b.array.size(0), "matmul: a and b have different batch sizes");
      shape.insert(shape.begin(), batch);
    }
    const MatmulShape s{
        batch, M, N, K, a.batch_stride, a.row_stride, a.column_stride, b.batch_stride, b.row_stride, b.column_stride};
    return run<T>(s, a.array.data(), b.array.data(), {}, shape);
  });
}

}  // namespace

void bind_linear(py::module_& m) {
  m.def("linear_forward", &forward, "x"_a, "weight"_a, "bias"_a, "relu"_a = false);
  m.def("linear_backward_input", &backward_input, "grad_y"_a, "weight"_a);
  m.def("linear_backward_weight", &backward_weight, "grad_y"_a, "x"_a);
  m.def("linear_backward_bias", &backward_bias, "grad_y"_a);
  m.def("matmul", &matmul, "a"_a, "b"_a);
}

}  // namespace atrous
