#include "base/error.h"

#include <cstdio>

namespace lpc {
namespace {

// A fixed buffer: reporting "out of memory" must not allocate.
thread_local char last_error[1024] = "";

}  // namespace

void set_last_error(const char* message) noexcept { std::snprintf(last_error, sizeof last_error, "%s", message); }

}  // namespace lpc

extern "C" const char* lpc_last_error(void) { return lpc::last_error; }
