#include "simd/isa.h"

#include <atomic>
#include <cstdlib>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "base/error.h"

namespace lpc {
namespace {

constexpr Isa kAll[] = {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Vbmi2, Isa::kNeon};

#if defined(__x86_64__)
// Not every compiler's __builtin_cpu_supports knows "f16c".
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
#endif

std::string supported_names() {
  std::string names;
  for (Isa isa : kAll) {
    if (!isa_supported(isa)) continue;
    if (!names.empty()) names += ",";
    names += isa_name(isa);
  }
  return names;
}

Isa choose() {
  const char* forced = std::getenv("LPC_FORCE_IMPL");
  Isa best = Isa::kScalar;
  for (Isa isa : kAll) {
    if (!isa_supported(isa)) continue;
    if (forced != nullptr && std::string(forced) == isa_name(isa)) return isa;
    best = isa;
  }
  if (forced != nullptr && *forced != '\0') {
    throw Error(LPC_UNSUPPORTED, "LPC_FORCE_IMPL=" + std::string(forced) +
                                     ": unknown or not supported on this machine; expected one of " +
                                     supported_names());
  }
  return best;
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kScalar: return "scalar";
    case Isa::kAvx2: return "avx2";
    case Isa::kAvx512: return "avx512";
    case Isa::kAvx512Vbmi2: return "avx512_vbmi2";
    case Isa::kNeon: return "neon";
  }
  return "unknown";
}

bool isa_supported(Isa isa) {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  switch (isa) {
    case Isa::kScalar: return true;
    case Isa::kAvx2: return avx2;
    case Isa::kAvx512: return avx512;
    case Isa::kAvx512Vbmi2:
      return avx512 && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2");
    case Isa::kNeon: return false;
  }
  return false;
#elif defined(__aarch64__)
  return isa == Isa::kScalar || isa == Isa::kNeon;  // NEON is part of the base architecture
#else
  return isa == Isa::kScalar;
#endif
}

namespace {

std::atomic<Isa>& current() {
  static std::atomic<Isa> isa{choose()};
  return isa;
}

}  // namespace

Isa active_isa() { return current().load(std::memory_order_relaxed); }

void use_isa(Isa isa) { current().store(isa, std::memory_order_relaxed); }

}  // namespace lpc

extern "C" lpc_status lpc_implementation(const char** name) {
  return lpc::guarded([&] {
    if (name == nullptr) throw lpc::Error(LPC_INVALID_ARGUMENT, "name: null pointer");
    *name = lpc::isa_name(lpc::active_isa());
  });
}

extern "C" const char* lpc_implementations(void) {
  static const std::string names = lpc::supported_names();
  return names.c_str();
}
