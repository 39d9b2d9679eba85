#include "kernels/elementwise.h"

#include "bindings/array.h"

namespace atrous {
namespace {

using namespace py::literals;

template <typename T>
ElementwiseKernels<T> kernels() {
  return at_level([](auto level) { return elementwise_kernels<decltype(level)::value, T>(); });
}

template <typename T>
double bytes(const Array<T>& x) {
  return bytes_moved(3.0 * static_cast<double>(x.elements()) * sizeof(T));
}

// y has the strides of x where x is dense.
py::object add_forward(const py::object& x_, const py::object& residual_, bool relu) {
  return for_any_dtype(x_, "add_forward: x", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Axes axes = memory_order(x_);
    const Array<T> x(x_, "add_forward: x", axes), residual(residual_, "add_forward: residual", axes);
    require_shape(residual.shape(), x.shape(), "add_forward: residual");
    NdArray y = empty<T>(x.shape(), axes);
    T* out = mutable_data<T>(y);
    {
      ReleaseGil gil(bytes(x));
      kernels<T>().add_forward(x.elements(), x.data(), residual.data(), relu, out);
    }
    return y;
  });
}

void add_into(const py::object& total_, const py::object& part_) {
  for_any_dtype(total_, "add_into: total", [&](auto zero) -> py::object {
    using T = decltype(zero);
    auto total = py::reinterpret_borrow<NdArray>(total_);
    const Axes axes = memory_order(total);
    require(total.writeable(), "add_into: total is read-only");
    require(is_dense(total), "add_into: total has gaps or repeats in memory");
    require(reinterpret_cast<uintptr_t>(total.data()) % alignof(T) == 0, "add_into: total is not aligned");
    const Array<T> part(part_, "add_into: part", axes);
    require_shape(part.shape(), {total.shape(), total.shape() + total.ndim()}, "add_into: part");
    T* out = mutable_data<T>(total);
    const T* from = part.data();
    require(from == out || from + part.elements() <= out || out + part.elements() <= from,
            "add_into: part overlaps total");
    {
      ReleaseGil gil(bytes(part));
      kernels<T>().add_into(part.elements(), out, from);
    }
    return py::none();
  });
}

}  // namespace

void bind_elementwise(py::module_& m) {
  m.def("add_forward", &add_forward, "x"_a, "residual"_a, "relu"_a = false,
        "x + residual, and relu where asked for; the strides of x where it is dense.");
  m.def("add_into", &add_into, "total"_a, "part"_a, "total += part, in place; total is dense.");
}

}  // namespace atrous
