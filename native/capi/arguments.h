// Checks of what callers of the C API pass; all throw LPC_INVALID_ARGUMENT, but for an index past the end of a list.
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

// Throws LPC_NOT_FOUND from the end of a list on.
inline void require_index(uint32_t index, size_t count, const char* what) {
  if (index < count) return;
  throw Error(LPC_NOT_FOUND,
              "index: got " + std::to_string(index) + ", expected less than " + std::to_string(count) + " " + what);
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
