// fuzz_seeds GOLDEN OUT: writes what the targets begin with to OUT/TARGET.
#include <cstdio>

#include "codecs/codec.h"
#include "fuzz/golden_files.h"
#include "fuzz/targets.h"

namespace {

void write(const std::filesystem::path& folder, const std::string& name, const std::vector<uint8_t>& bytes) {
  std::filesystem::create_directories(folder);
  std::ofstream file(folder / name, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: fuzz_seeds GOLDEN OUT\n");
    return 2;
  }
  const std::filesystem::path out = argv[2];
  for (const auto& [name, bytes] : lpc::fuzz::golden_files(argv[1])) {
    write(out / "container", name, bytes);
    write(out / "stored", name, bytes);
    size_t index = 0;
    for (const auto& [codec, input] : lpc::fuzz::cases_of(bytes)) {
      write(out / lpc::get_codec(codec).name(), name + "_" + std::to_string(index++), input);
    }
  }
}
