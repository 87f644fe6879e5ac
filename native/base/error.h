// The one error type inside the library, and the fence that keeps it inside.
#pragma once

#include <exception>
#include <new>
#include <string>
#include <utility>

#include "lpc/lpc.h"

namespace lpc {

class Error : public std::exception {
 public:
  Error(lpc_status status, std::string message) : status_(status), message_(std::move(message)) {}
  lpc_status status() const noexcept { return status_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  lpc_status status_;
  std::string message_;
};

// Remembers `message` as this thread's last error; never throws.
void set_last_error(const char* message) noexcept;

// Runs `body` and turns whatever it throws into a status: the only way from C++ into the C API.
template <typename Body>
lpc_status guarded(Body&& body) noexcept {
  try {
    std::forward<Body>(body)();
    return LPC_OK;
  } catch (const Error& error) {
    set_last_error(error.what());
    return error.status();
  } catch (const std::bad_alloc&) {
    set_last_error("out of memory");
    return LPC_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    set_last_error(error.what());
    return LPC_INTERNAL;
  } catch (...) {
    set_last_error("unknown exception");
    return LPC_INTERNAL;
  }
}

}  // namespace lpc
