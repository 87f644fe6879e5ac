// The instruction sets of the C API.
#include "base/error.h"
#include "simd/isa.h"

extern "C" lpc_status lpc_implementation(const char** name) {
  return lpc::guarded([&] {
    if (name == nullptr) throw lpc::Error(LPC_INVALID_ARGUMENT, "name: null pointer");
    *name = lpc::isa_name(lpc::active_isa());
  });
}

extern "C" const char* lpc_implementations(void) {
  static const std::string names = lpc::supported_isa_names();
  return names.c_str();
}
