// What the process may take, on files as the kernel writes them; the same cases as tests/test_plan_memory.py has.
#include "base/machine_memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "tests/main.h"

namespace lpc {
namespace {

constexpr const char* kMeminfo =
    "MemTotal:        7802844 kB\nMemFree:          312340 kB\nMemAvailable:    4023972 kB\n";
constexpr uint64_t kAvailable = uint64_t{4023972} * 1024;

// The room that these files leave.
uint64_t room_of(std::map<std::string, std::string> files) {
  const auto root = std::filesystem::temp_directory_path() / ("lpc-memory-" + std::to_string(getpid()));
  files.insert({"proc/meminfo", kMeminfo});
  for (const auto& [name, text] : files) {
    std::filesystem::create_directories((root / name).parent_path());
    std::ofstream(root / name) << text;
  }
  const auto room = available_memory(root.string());
  std::filesystem::remove_all(root);
  return room.value_or(0);
}

}  // namespace

TEST(available_memory_is_mem_available_where_no_group_limits) {
  CHECK(room_of({{"proc/self/cgroup", "0::/\n"}}) == kAvailable);
  CHECK(room_of({{"proc/self/cgroup", "0::/a\n"}, {"sys/fs/cgroup/a/memory.max", "max\n"}}) == kAvailable);
  CHECK(room_of({}) == kAvailable);
}

TEST(available_memory_nobody_says_is_none) {
  CHECK(!available_memory("/no/such/folder").has_value());
  CHECK(room_of({{"proc/meminfo", "MemFree: 312340 kB\n"}}) == 0);
}

TEST(available_memory_takes_the_tightest_group_of_version_2) {
  CHECK(room_of({{"proc/self/cgroup", "0::/user.slice/run.scope\n"},
                 {"sys/fs/cgroup/user.slice/memory.max", "700000000\n"},
                 {"sys/fs/cgroup/user.slice/memory.current", "300000000\n"},
                 {"sys/fs/cgroup/user.slice/memory.stat", "anon 5\ninactive_file 100000000\nactive_file 7\n"},
                 {"sys/fs/cgroup/user.slice/run.scope/memory.max", "max\n"}}) == 500000000);
}

TEST(available_memory_counts_where_a_group_is_slowed_down) {
  CHECK(room_of({{"proc/self/cgroup", "0::/a\n"},
                 {"sys/fs/cgroup/a/memory.max", "900000000\n"},
                 {"sys/fs/cgroup/a/memory.high", "600000000\n"},
                 {"sys/fs/cgroup/a/memory.current", "650000000\n"}}) == 0);
}

TEST(available_memory_finds_the_mount_of_a_container) {
  CHECK(room_of({{"proc/self/cgroup", "0::/../../docker/abc\n"}, {"sys/fs/cgroup/memory.max", "123456789\n"}}) ==
        123456789);
}

TEST(available_memory_takes_the_tightest_group_of_version_1) {
  const std::map<std::string, std::string> files = {
      {"proc/self/cgroup", "9:cpuset:/\n4:cpu,memory:/job\n"},
      {"sys/fs/cgroup/memory/job/memory.limit_in_bytes", "9223372036854771712\n"},
      {"sys/fs/cgroup/memory/job/memory.usage_in_bytes", "300000000\n"},
      {"sys/fs/cgroup/memory/job/memory.stat", "total_inactive_file 50000000\nhierarchical_memory_limit 800000000\n"}};
  CHECK(room_of(files) == 550000000);
}

TEST(available_memory_counts_the_address_space) {
  constexpr uint64_t kMore = uint64_t{300} << 20;
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit before{};
  getrlimit(RLIMIT_AS, &before);
  const rlimit tight{pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) + kMore, before.rlim_max};
  CHECK(setrlimit(RLIMIT_AS, &tight) == 0);
  const auto room = available_memory();
  setrlimit(RLIMIT_AS, &before);
  CHECK(room.has_value() && *room <= kMore);
}

}  // namespace lpc
