// Checks of what callers of the C API pass; all throw LPC_INVALID_ARGUMENT.
#pragma once

#include <string>

#include "base/error.h"

namespace lpc::capi {

inline void require(const void* pointer, const char* name) {
  if (pointer == nullptr) throw Error(LPC_INVALID_ARGUMENT, std::string(name) + ": null pointer");
}

inline void require_equal(uint64_t got, uint64_t expected, const char* name) {
  if (got == expected) return;
  throw Error(LPC_INVALID_ARGUMENT,
              std::string(name) + ": got " + std::to_string(got) + ", expected " + std::to_string(expected));
}

// A structure of this version of the API.
template <typename Struct>
void require_struct(const Struct* value, const char* name) {
  require(value, name);
  if (value->struct_bytes == sizeof(Struct)) return;
  throw Error(LPC_INVALID_ARGUMENT, std::string(name) + ".struct_bytes: got " + std::to_string(value->struct_bytes) +
                                        ", expected " + std::to_string(sizeof(Struct)));
}

}  // namespace lpc::capi
