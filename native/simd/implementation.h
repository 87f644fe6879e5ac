// One record an instruction set: its name, whether this machine has it, and its kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "simd/isa.h"

namespace lpc {

struct AnsKernels;
struct BitmapDotKernels;
struct BitmapKernels;
struct DotKernels;
struct Int8Kernels;
struct PackedKernels;
struct SplitKernels;

struct Implementation {
  Isa isa;
  const char* name;
  bool (*supported)();  // by this machine
  const AnsKernels* ans;
  const BitmapKernels* bitmap;
  const BitmapDotKernels* dot_bitmap;
  const DotKernels* dot;
  const Int8Kernels* dot_int8;
  const PackedKernels* packed;
  const SplitKernels* split;
  uint64_t (*xxh3_64)(const uint8_t* bytes, size_t n);
};

// Those that this build has, the best last.
std::span<const Implementation> implementations();

// That of active_isa(). Throws what active_isa() throws.
const Implementation& active_implementation();

}  // namespace lpc
