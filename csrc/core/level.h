#pragma once

namespace atrous {

// What kernels are compiled for: instruction-set levels of CPUs, and a GPU. baseline is what every CPU of the
// architecture has: SSE2 on x86-64, NEON on aarch64.
enum class Level { baseline, v3, v4, cuda };

}  // namespace atrous
