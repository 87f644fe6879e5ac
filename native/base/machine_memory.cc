#include "base/machine_memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>
#include <vector>

namespace lpc {
namespace {

constexpr uint64_t kNoLimit = uint64_t{1} << 60;  // version 1 writes about 2^63 where there is no limit

// "" where it cannot be read: not every kernel has every file.
std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The number that `text` begins with, spaces skipped; nothing for "max".
std::optional<uint64_t> number_in(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  uint64_t value = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) return std::nullopt;
  return value;
}

// The number behind `name` at the beginning of a line.
std::optional<uint64_t> field(const std::string& text, std::string_view name) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(name)) return number_in(std::string_view(line).substr(name.size()));
  }
  return std::nullopt;
}

uint64_t left(uint64_t limit, uint64_t used) { return limit - std::min(limit, used); }

// What is in use less the page cache that is dropped when memory is short.
uint64_t used_bytes(const std::string& file, const std::string& statistics, std::string_view droppable) {
  return left(number_in(text_of(file)).value_or(0), field(statistics, droppable).value_or(0));
}

// The least of `room` and what a group of version 2 leaves.
uint64_t within_group_2(const std::string& folder, uint64_t room) {
  const uint64_t used = used_bytes(folder + "/memory.current", text_of(folder + "/memory.stat"), "inactive_file ");
  for (const char* name : {"/memory.max", "/memory.high"}) {
    if (const auto limit = number_in(text_of(folder + name))) room = std::min(room, left(*limit, used));
  }
  return room;
}

// The same for version 1. Groups above it that a container does not show are in its statistics all the same.
uint64_t within_group_1(const std::string& folder, uint64_t room) {
  const std::string statistics = text_of(folder + "/memory.stat");
  const uint64_t used = used_bytes(folder + "/memory.usage_in_bytes", statistics, "total_inactive_file ");
  for (const auto& limit :
       {number_in(text_of(folder + "/memory.limit_in_bytes")), field(statistics, "hierarchical_memory_limit ")}) {
    if (limit && *limit < kNoLimit) room = std::min(room, left(*limit, used));
  }
  return room;
}

// The folders of `group` and of the groups above it; in a container the group's own path may not be visible.
std::vector<std::string> upwards(const std::string& mount, const std::string& group) {
  std::vector<std::string> folders{mount};
  std::istringstream parts(group);
  for (std::string part; std::getline(parts, part, '/');) {
    if (!part.empty() && part != "..") folders.push_back(folders.back() + "/" + part);
  }
  return folders;
}

// Whether "cpu,memory" names the controller of memory.
bool has_memory(const std::string& controllers) {
  std::istringstream names(controllers);
  for (std::string name; std::getline(names, name, ',');) {
    if (name == "memory") return true;
  }
  return false;
}

// A line of /proc/self/cgroup is number, controllers and group; of version 2 it has no controllers.
uint64_t within_groups(const std::string& root, const std::string& line, uint64_t room) {
  std::string number, controllers, group;
  std::istringstream fields(line);
  if (!std::getline(fields, number, ':') || !std::getline(fields, controllers, ':')) return room;
  std::getline(fields, group);
  if (controllers.empty()) {
    for (const std::string& folder : upwards(root + "/sys/fs/cgroup", group)) room = within_group_2(folder, room);
  } else if (has_memory(controllers)) {
    for (const std::string& folder : upwards(root + "/sys/fs/cgroup/memory", group))
      room = within_group_1(folder, room);
  }
  return room;
}

uint64_t within_address_space(uint64_t room) {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return room;
  const uint64_t pages = number_in(text_of("/proc/self/statm")).value_or(0);
  return std::min(room, left(limit.rlim_cur, pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE))));
}

}  // namespace

std::optional<uint64_t> available_memory(const std::string& root) {
  const auto kilobytes = field(text_of(root + "/proc/meminfo"), "MemAvailable:");
  if (!kilobytes) return std::nullopt;
  uint64_t room = *kilobytes * 1024;
  std::istringstream lines(text_of(root + "/proc/self/cgroup"));
  for (std::string line; std::getline(lines, line);) room = within_groups(root, line, room);
  return root.empty() ? within_address_space(room) : room;
}

}  // namespace lpc
