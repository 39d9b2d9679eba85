#include "device.h"

#include <cuda_runtime.h>

#include "bindings/array.h"
#include "kernels/cuda/capture.h"
#include "kernels/cuda/stream.h"
#include "kernels/cuda/values.h"

namespace atrous {
namespace {

// CuPy's names, looked up once, and those of its attributes as Python's own strings: made anew, each would cost as much
// as the look-up.
struct CuPy {
  py::object ndarray, current_stream;
  py::str shape = interned("shape"), strides = interned("strides"), dtype = interned("dtype"), data = interned("data"),
          ptr = interned("ptr");

  CuPy() {
    const auto cupy = py::module_::import("cupy");
    ndarray = cupy.attr("ndarray");
    current_stream = cupy.attr("cuda").attr("get_current_stream");
  }

  static py::str interned(const char* name) { return py::reinterpret_steal<py::str>(PyUnicode_InternFromString(name)); }
};

const CuPy& cupy() {
  static const auto* names = new CuPy;  // never destroyed: Python may be gone by then
  return *names;
}

std::vector<py::ssize_t> numbers(const py::object& tuple) {
  std::vector<py::ssize_t> result(py::len(tuple));
  for (size_t i = 0; i < result.size(); ++i)
    result[i] = PyLong_AsSsize_t(PyTuple_GetItem(tuple.ptr(), static_cast<py::ssize_t>(i)));
  if (PyErr_Occurred()) throw py::error_already_set();
  return result;
}

py::tuple tuple_of(const std::vector<int64_t>& values) {
  py::tuple tuple(values.size());
  for (size_t i = 0; i < values.size(); ++i) tuple[i] = py::int_(values[i]);
  return tuple;
}

}  // namespace

uintptr_t address_of(const py::object& memory) { return memory.attr(cupy().ptr).cast<uintptr_t>(); }

cudaStream_t current_stream() { return reinterpret_cast<cudaStream_t>(address_of(cupy().current_stream())); }

bool NdArray::check_(py::handle object) { return py::isinstance(object, cupy().ndarray); }

const NdArray::Facts& NdArray::facts() const {
  if (!facts_)
    facts_ = std::make_shared<const Facts>(Facts{numbers(attr(cupy().shape)), numbers(attr(cupy().strides)),
                                                 attr(cupy().dtype).cast<py::dtype>(),
                                                 reinterpret_cast<void*>(address_of(attr(cupy().data)))});
  return *facts_;
}

py::dtype NdArray::dtype() const {  // which is all that many calls ask for
  return facts_ ? facts_->dtype : attr(cupy().dtype).cast<py::dtype>();
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

NdArray::NdArray(const py::dtype& dtype, const std::vector<int64_t>& shape, const std::vector<int64_t>& strides) {
  const py::object memory = device_memory(byte_count(shape, dtype.itemsize()));
  py::object::operator=(cupy().ndarray(tuple_of(shape), dtype, memory, tuple_of(strides)));
  facts_ = std::make_shared<const Facts>(Facts{{shape.begin(), shape.end()},
                                               {strides.begin(), strides.end()},
                                               dtype,
                                               reinterpret_cast<void*>(address_of(memory))});
}

NdArray new_array(const py::dtype& dtype, const std::vector<int64_t>& shape, const std::vector<int64_t>& strides) {
  return {dtype, shape, strides};
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

// A graph's values cannot be waited for; legal_classes looks at them at each replay.
template <typename Int>
std::optional<int64_t> find_outside(const Int* values, int64_t n, int64_t end, int64_t except) {
  if (capturing()) return std::nullopt;
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
