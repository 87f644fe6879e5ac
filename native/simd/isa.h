// Which instruction set the kernels use: found once, or forced by LPC_FORCE_IMPL.
#pragma once

#include <string>

namespace lpc {

// kAvx512 needs F, BW, DQ and VL; kAvx512Vbmi2 needs VBMI and VBMI2 on top.
enum class Isa { kScalar, kAvx2, kAvx512, kAvx512Vbmi2, kNeon };

const char* isa_name(Isa isa);

// True when both this build and this machine have it.
bool isa_supported(Isa isa);

// The names of all that are, the best last, with commas between them.
std::string supported_isa_names();

// The best supported one, or the one that LPC_FORCE_IMPL names. Throws LPC_UNSUPPORTED for a name that is unknown or
// not supported here. The answer changes only by use_isa.
Isa active_isa();

// For tests, which compare instruction sets within a process: `isa`, which must be supported, from now on.
void use_isa(Isa isa);

}  // namespace lpc
