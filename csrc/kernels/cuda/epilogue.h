// The epilogue of a product that a library wrote: where the sums are our own, it is applied before they are stored.
#pragma once
#include <cstdint>

#include "core/epilogue.h"

namespace atrous {

// y[p,c] goes through the epilogue in place, for P rows of C channels.
template <typename T>
void apply_epilogue(int64_t P, int64_t C, const Epilogue<T>&, T* y);

}  // namespace atrous
