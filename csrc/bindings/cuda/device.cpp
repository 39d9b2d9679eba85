#include "device.h"

#include <cuda_runtime.h>

#include "bindings/array.h"
#include "kernels/cuda/stream.h"
#include "kernels/cuda/values.h"

namespace atrous {
namespace {

// CuPy's names, looked up once.
struct CuPy {
  py::object ndarray, current_stream;

  CuPy() {
    const auto cupy = py::module_::import("cupy");
    ndarray = cupy.attr("ndarray");
    current_stream = cupy.attr("cuda").attr("get_current_stream");
  }
};

const CuPy& cupy() {
  static const auto* names = new CuPy;  // never destroyed: Python may be gone by then
  return *names;
}

std::vector<py::ssize_t> numbers(const py::tuple& tuple) {
  std::vector<py::ssize_t> result(tuple.size());
  for (size_t i = 0; i < result.size(); ++i) result[i] = tuple[i].cast<py::ssize_t>();
  return result;
}

}  // namespace

cudaStream_t current_stream() {
  return reinterpret_cast<cudaStream_t>(cupy().current_stream().attr("ptr").cast<uintptr_t>());
}

bool NdArray::check_(py::handle object) { return py::isinstance(object, cupy().ndarray); }

const NdArray::Facts& NdArray::facts() const {
  if (!facts_)
    facts_ = std::make_shared<const Facts>(Facts{numbers(attr("shape")), numbers(attr("strides")),
                                                 attr("dtype").cast<py::dtype>(),
                                                 reinterpret_cast<void*>(attr("data").attr("ptr").cast<uintptr_t>())});
  return *facts_;
}

py::ssize_t NdArray::size() const {
  py::ssize_t elements = 1;
  for (py::ssize_t extent : facts().shape) elements *= extent;
  return elements;
}

int NdArray::flags() const {
  if (size() == 0) return py::array::c_style;
  py::ssize_t step = itemsize();
  for (auto axis = static_cast<size_t>(ndim()); axis-- > 0; step *= facts().shape[axis])
    if (facts().shape[axis] > 1 && facts().strides[axis] != step) return 0;
  return py::array::c_style;
}

NdArray new_array(const py::dtype& dtype, const std::vector<int64_t>& shape, const std::vector<int64_t>& strides) {
  const auto tuple = [](const std::vector<int64_t>& values) { return py::tuple(py::cast(values)); };
  py::object array =
      cupy().ndarray(tuple(shape), dtype, device_memory(byte_count(shape, dtype.itemsize())), tuple(strides));
  return py::reinterpret_steal<NdArray>(array.release());
}

std::shared_ptr<void> copy_in_order(const NdArray& array, const Axes& axes) {
  const std::vector<int64_t> shape(array.shape(), array.shape() + array.ndim());
  NdArray copy = empty_bytes(array.dtype(), shape, axes);
  copy[py::ellipsis()] = array;
  return std::shared_ptr<void>(copy.mutable_data(), [copy](void*) {});
}

std::shared_ptr<double> widened(const float* values, int64_t n) {
  const auto wide = std::make_shared<Workspace<double>>(n);
  widen(n, values, wide->data());
  return std::shared_ptr<double>(wide, wide->data());
}

template <typename Int>
std::optional<int64_t> find_outside(const Int* values, int64_t n, int64_t end, int64_t except) {
  const Workspace<int64_t> found(2);
  int64_t on_host[2];
  find_outside(n, values, end, except, found.data());
  copy_to_host(on_host, found.data(), sizeof on_host);
  return on_host[0] ? std::optional<int64_t>(on_host[1]) : std::nullopt;
}

template std::optional<int64_t> find_outside(const int64_t*, int64_t, int64_t, int64_t);
template std::optional<int64_t> find_outside(const int32_t*, int64_t, int64_t, int64_t);
template std::optional<int64_t> find_outside(const uint8_t*, int64_t, int64_t, int64_t);

}  // namespace atrous
