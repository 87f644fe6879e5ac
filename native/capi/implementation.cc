// The instruction sets of the C API.
#include "capi/arguments.h"
#include "simd/isa.h"

extern "C" lpc_status lpc_implementation(const char** name) {
  return lpc::guarded([&] {
    lpc::capi::require(name, "name");
    *name = lpc::isa_name(lpc::active_isa());
  });
}

extern "C" const char* lpc_implementations(void) {
  static const std::string names = lpc::supported_isa_names();
  return names.c_str();
}
