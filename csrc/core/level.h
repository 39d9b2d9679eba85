#pragma once

namespace atrous {

// Instruction-set levels. baseline is what every CPU of the architecture has: SSE2 on x86-64, NEON on aarch64.
enum class Level { baseline, v3, v4 };

}  // namespace atrous
