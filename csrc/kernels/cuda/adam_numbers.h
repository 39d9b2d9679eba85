// What the kernels of optimizer steps read of the options, as a graph's replays find it in memory.
#pragma once
#include <string>

#include "kernels/adam.h"

namespace atrous {

template <typename T>
std::string step_numbers(const AdamOptions& options);
template <typename T>
std::string step_numbers(const SgdOptions& options);
template <typename T>
std::string step_numbers(const RmspropOptions& options);
template <typename T>
std::string step_numbers(const AdagradOptions& options);

}  // namespace atrous
