#include "device.h"

#include <cstring>

#include "bindings/array.h"

namespace atrous {
namespace {

// Copies any strides (bytes, aligned or not) into dense memory, axes from slowest to fastest.
template <typename T>
void copy_strided(const char* from, const NdArray& array, const Axes& axes, size_t depth, T*& to) {
  if (depth == axes.size()) {
    std::memcpy(to++, from, sizeof(T));
    return;
  }
  const auto axis = static_cast<py::ssize_t>(axes[depth]);
  const py::ssize_t size = array.shape(axis), stride = array.strides(axis);
  if (depth + 1 == axes.size()) {
    for (py::ssize_t i = 0; i < size; ++i) std::memcpy(to++, from + i * stride, sizeof(T));
    return;
  }
  for (py::ssize_t i = 0; i < size; ++i) copy_strided(from + i * stride, array, axes, depth + 1, to);
}

template <typename T>
void copy_elements(const NdArray& array, const Axes& axes, void* to) {
  T* at = static_cast<T*>(to);
  copy_strided(static_cast<const char*>(array.data()), array, axes, 0, at);
}

}  // namespace

NdArray new_array(const py::dtype& dtype, const std::vector<int64_t>& shape, const std::vector<int64_t>& strides) {
  void* block = allocate(byte_count(shape, dtype.itemsize()));
  const py::capsule owner(block, nullptr, [](PyObject* self) { release(PyCapsule_GetPointer(self, nullptr)); });
  return NdArray(dtype, shape, strides, block, owner);
}

std::shared_ptr<void> copy_in_order(const NdArray& array, const Axes& axes) {
  const auto bytes = checked_multiply(array.size(), array.itemsize());
  std::shared_ptr<void> copy(allocate(bytes), release);
  if (bytes == 0) return copy;
  if (array.itemsize() == 1) copy_elements<uint8_t>(array, axes, copy.get());
  if (array.itemsize() == 4) copy_elements<uint32_t>(array, axes, copy.get());
  if (array.itemsize() == 8) copy_elements<uint64_t>(array, axes, copy.get());
  return copy;
}

std::shared_ptr<double> widened(const float* values, int64_t n) {
  std::shared_ptr<double> wide(static_cast<double*>(allocate(checked_multiply(n, sizeof(double)))), release);
  for (int64_t i = 0; i < n; ++i) wide.get()[i] = static_cast<double>(values[i]);
  return wide;
}

template <typename Int>
std::optional<int64_t> find_outside(const Int* values, int64_t n, int64_t end, int64_t except) {
  for (int64_t i = 0; i < n; ++i)
    if ((values[i] < 0 || values[i] >= end) && values[i] != except) return values[i];
  return std::nullopt;
}

template std::optional<int64_t> find_outside(const int64_t*, int64_t, int64_t, int64_t);
template std::optional<int64_t> find_outside(const int32_t*, int64_t, int64_t, int64_t);
template std::optional<int64_t> find_outside(const uint8_t*, int64_t, int64_t, int64_t);

}  // namespace atrous
