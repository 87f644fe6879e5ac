// A test framework in one page: TEST defines and registers, CHECK reports and goes on, main runs all.
#pragma once

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "base/error.h"

namespace lpc::test {

struct Case {
  const char* name;
  void (*run)();
};

inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

inline int& failures() {
  static int count = 0;
  return count;
}

inline void fail(const char* file, int line, const std::string& what) {
  std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
  ++failures();
}

struct Register {
  Register(const char* name, void (*run)()) { cases().push_back({name, run}); }
};

// The error that `body` throws, as "STATUS: message"; "" if it throws none.
template <typename Body>
std::string error_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return std::string(lpc_status_name(error.status())) + ": " + error.what();
  }
  return "";
}

inline int run_all() {
  for (const Case& test : cases()) {
    const int before = failures();
    try {
      test.run();
    } catch (const std::exception& error) {
      fail(test.name, 0, std::string("unexpected exception: ") + error.what());
    }
    std::printf("%s %s\n", failures() == before ? "ok    " : "FAILED", test.name);
  }
  return failures() == 0 ? 0 : 1;
}

}  // namespace lpc::test

#define TEST(name)                                               \
  static void name();                                            \
  static const lpc::test::Register register_##name(#name, name); \
  static void name()

#define CHECK(condition)                                                                \
  do {                                                                                  \
    if (!(condition)) lpc::test::fail(__FILE__, __LINE__, "CHECK failed: " #condition); \
  } while (false)

// `text` contains `part`.
#define CHECK_CONTAINS(text, part)                                                                       \
  do {                                                                                                   \
    const std::string check_text = (text);                                                               \
    if (check_text.find(part) == std::string::npos)                                                      \
      lpc::test::fail(__FILE__, __LINE__, "\"" + check_text + "\" does not contain \"" + (part) + "\""); \
  } while (false)
