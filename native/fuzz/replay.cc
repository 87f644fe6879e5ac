// fuzz_replay GOLDEN [ROUNDS]: the targets on the golden files and on mutations of them, the same in every run. Needs
// no libFuzzer, so it is part of the ordinary tests, under the sanitizers.
#include <cstdio>
#include <cstdlib>
#include <random>

#include "fuzz/golden_files.h"
#include "fuzz/targets.h"

namespace {

using Input = std::vector<uint8_t>;
using Random = std::mt19937_64;

size_t below(Random& random, size_t end) { return static_cast<size_t>(random() % end); }

// A few changes: bits, bytes, extreme numbers, a cut, a piece put elsewhere. Half of them near the start, where the
// sizes are.
Input mutated(const Input& input, Random& random) {
  Input result = input;
  for (size_t changes = 1 + below(random, 4); changes > 0 && !result.empty(); --changes) {
    const size_t reach = random() % 2 == 0 ? std::min<size_t>(result.size(), 256) : result.size();
    const size_t at = below(random, reach);
    switch (random() % 6) {
      case 0: result[at] = static_cast<uint8_t>(result[at] ^ 1u << random() % 8); break;
      case 1: result[at] = static_cast<uint8_t>(random()); break;
      case 2:
        std::fill_n(result.begin() + static_cast<ptrdiff_t>(at), std::min<size_t>(4, result.size() - at), 0xFF);
        break;
      case 3: result.resize(at); break;
      case 4: result.insert(result.end(), 1 + random() % 64, static_cast<uint8_t>(random())); break;
      default: {
        const size_t from = below(random, result.size());
        const size_t n = std::min({size_t{16}, result.size() - at, result.size() - from});
        std::copy_n(input.begin() + static_cast<ptrdiff_t>(std::min(from, input.size() - std::min(n, input.size()))),
                    std::min(n, input.size()), result.begin() + static_cast<ptrdiff_t>(at));
      }
    }
  }
  return result;
}

template <typename Target>
size_t run(const Input& input, size_t rounds, Random& random, Target&& target) {
  target(input);
  for (size_t i = 0; i < rounds; ++i) target(mutated(input, random));
  return rounds + 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: fuzz_replay GOLDEN [ROUNDS]\n");
    return 2;
  }
  const size_t rounds = argc == 3 ? std::strtoul(argv[2], nullptr, 10) : 20;
  Random random(1);
  size_t runs = 0;
  for (const auto& file : lpc::fuzz::golden_files(argv[1])) {
    const Input& blob = file.bytes;
    runs += run(blob, rounds, random, [](const Input& input) { lpc::fuzz::run_container(input); });
    runs += run(blob, rounds / 4, random, [](const Input& input) { lpc::fuzz::run_container(input, 0); });
    for (const auto& [codec, segment] : lpc::fuzz::cases_of(blob)) {
      runs += run(segment, 4 * rounds, random,
                  [codec = codec](const Input& input) { lpc::fuzz::run_segment(codec, input); });
    }
  }
  std::printf("ok     %zu inputs\n", runs);
}
