// What this process may still take of the machine's memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace lpc {

// Bytes: the least of MemAvailable, of what the control groups of this process leave (version 1 or 2, page cache that
// can be dropped counted as free), and of what is left of its address space (RLIMIT_AS). Nothing where the system does
// not say. `root` is where /proc and /sys are looked for: "" is the system itself, elsewhere RLIMIT_AS does not count.
std::optional<uint64_t> available_memory(const std::string& root = "");

}  // namespace lpc
