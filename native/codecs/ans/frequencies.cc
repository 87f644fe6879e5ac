#include "codecs/ans/frequencies.h"

#include <algorithm>
#include <numeric>

namespace lpc::ans {
namespace {

// The symbol that loses least by one slot less: about count / (f - 1/2).
size_t cheapest(const uint64_t* counts, size_t n, const uint32_t* f) {
  size_t found = n;
  for (size_t i = 0; i < n; ++i) {
    if (f[i] < 2) continue;
    if (found == n ||
        static_cast<double>(counts[i]) * (2 * f[found] - 1) < static_cast<double>(counts[found]) * (2 * f[i] - 1)) {
      found = i;
    }
  }
  return found;
}

// The symbol that saves most by one slot more: about count / (f + 1/2); nothing where nothing occurs.
size_t best(const uint64_t* counts, size_t n, const uint32_t* f, uint32_t most) {
  size_t found = n;
  for (size_t i = 0; i < n; ++i) {
    if (f[i] == most) continue;
    if (found == n ||
        static_cast<double>(counts[i]) * (2 * f[found] + 1) > static_cast<double>(counts[found]) * (2 * f[i] + 1)) {
      found = i;
    }
  }
  return found;
}

}  // namespace

// Moves one slot at a time from or to the symbol whose code lengths change least for it; all arithmetic is exact or
// correctly rounded.
void normalise(const uint64_t* counts, size_t n, uint32_t slots, uint32_t* f) {
  const uint64_t total = std::accumulate(counts, counts + n, uint64_t{0});
  const uint32_t most = slots - 1;
  std::fill_n(f, n, 0);
  if (total == 0) {
    f[0] = most;
    f[1] = 1;
    return;
  }
  int64_t missing = slots;
  for (size_t i = 0; i < n; ++i) {
    if (counts[i] == 0) continue;
    const double share = static_cast<double>(counts[i]) * slots / static_cast<double>(total);
    f[i] = std::clamp<uint32_t>(static_cast<uint32_t>(share + 0.5), 1, most);
    missing -= f[i];
  }
  for (; missing < 0; ++missing) --f[cheapest(counts, n, f)];
  for (; missing > 0; --missing) ++f[best(counts, n, f, most)];
}

}  // namespace lpc::ans
