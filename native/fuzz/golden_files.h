// The golden files of tests/golden, by which fuzzing begins.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace lpc::fuzz {

struct GoldenFile {
  std::string name;
  std::vector<uint8_t> bytes;
};

inline std::vector<GoldenFile> golden_files(const std::filesystem::path& golden) {
  std::vector<GoldenFile> files;
  for (const char* folder : {"good", "malformed"}) {
    for (const auto& entry : std::filesystem::directory_iterator(golden / folder)) {
      std::ifstream file(entry.path(), std::ios::binary);
      files.push_back({entry.path().stem().string(), {std::istreambuf_iterator<char>(file), {}}});
    }
  }
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return files;
}

}  // namespace lpc::fuzz
