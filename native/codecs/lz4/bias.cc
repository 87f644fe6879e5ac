// Any bias decodes to the same elements; it decides in which planes the exponents' distances fall. The largest exponent
// is a good one. A smaller one is better where a few outliers would push the bulk of the distances across a power of
// two: the outliers wrap around and cost less than the planes they clear.
#include "codecs/lz4/bias.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#include "simd/split/split.h"

namespace lpc::lz4 {
namespace {

using Histogram = std::array<uint32_t, 256>;

template <typename Word>
Histogram count_exponents(Bytes elements, unsigned shift, uint32_t mask) {
  constexpr size_t kWords = 8 / sizeof(Word);  // read together
  std::array<Histogram, kWords> parts{};       // neighbours are often equal: apart, they do not wait for each other
  const size_t bytes = elements.size();
  const size_t stride = bytes < 65536 ? 8 : 40;  // of a large segment a fifth is enough; no power of two, as rows are
  size_t i = 0;
  for (; i + 8 <= bytes; i += stride) {
    uint64_t words;
    std::memcpy(&words, &elements[i], sizeof words);
    for (size_t k = 0; k < kWords; ++k) ++parts[k][(words >> (8 * sizeof(Word) * k + shift)) & mask];
  }
  for (; i < bytes; i += sizeof(Word)) {
    Word word;
    std::memcpy(&word, &elements[i], sizeof word);
    ++parts[0][(word >> shift) & mask];
  }
  Histogram sum{};
  for (const Histogram& part : parts) {
    for (size_t e = 0; e < sum.size(); ++e) sum[e] += part[e];
  }
  return sum;
}

Histogram exponent_histogram(uint32_t dtype, Bytes elements) {
  const unsigned bits = exponent_bits(dtype);
  const unsigned width = static_cast<unsigned>(8 * dtype_bytes(dtype));
  const unsigned shift = width - 1 - bits;
  const uint32_t mask = (1u << bits) - 1;
  if (width == 8) return count_exponents<uint8_t>(elements, shift, mask);
  if (width == 16) return count_exponents<uint16_t>(elements, shift, mask);
  return count_exponents<uint32_t>(elements, shift, mask);
}

// Measured: of a plane whose bits are set at random with this density, the part that LZ4 (HC, level 3) keeps.
// A denser plane stays raw.
// Both in 1/65536; straight lines between.
struct Point {
  uint32_t density;
  uint32_t kept;
};
constexpr Point kKept[] = {{0, 0},        {33, 1100},    {66, 1780},    {131, 3240},   {328, 7430},
                           {655, 12770},  {1311, 20050}, {1966, 25850}, {3277, 34970}, {5243, 43870},
                           {6554, 48660}, {9362, 57300}, {9363, 65536}, {32768, 65536}};

// What a plane that is not all zero must save to be worth its decoding, in the same unit.
constexpr uint64_t kPlaneCost = 655;

uint64_t estimate_kept(uint64_t ones, uint64_t n) {
  const uint64_t density = (std::min(ones, n - ones) << 16) / n;
  for (size_t i = 1; i < std::size(kKept); ++i) {
    const auto [x0, y0] = kKept[i - 1];
    const auto [x1, y1] = kKept[i];
    if (density <= x1) return y0 + (density - x0) * (y1 - y0) / (x1 - x0);
  }
  return 65536;
}

uint64_t estimate_planes(const Histogram& histogram, unsigned bits, uint32_t bias, uint64_t n) {
  std::array<uint64_t, 8> ones{};
  for (uint32_t e = 0; e < 1u << bits; ++e) {
    if (histogram[e] == 0) continue;
    const uint32_t distance = bias - e;
    for (unsigned p = 0; p < bits; ++p) ones[p] += (distance >> p & 1) * histogram[e];
  }
  uint64_t kept = 0;
  for (unsigned p = 0; p < bits; ++p) {
    if (ones[p] != 0) kept += kPlaneCost + estimate_kept(ones[p], n);
  }
  return kept;
}

}  // namespace

uint8_t choose_bias(uint32_t dtype, Bytes elements) {
  constexpr uint32_t kCandidates = 16;
  const unsigned bits = exponent_bits(dtype);
  if (bits == 0 || elements.empty()) return 0;
  const Histogram histogram = exponent_histogram(dtype, elements);
  const uint64_t n = std::accumulate(histogram.begin(), histogram.end(), uint64_t{0});
  uint32_t largest = (1u << bits) - 1;
  while (histogram[largest] == 0) --largest;
  uint32_t best = largest;
  uint64_t least = ~uint64_t{0};
  for (uint32_t below = 0; below < kCandidates && below <= largest; ++below) {
    const uint64_t kept = estimate_planes(histogram, bits, largest - below, n);
    if (kept >= least) continue;
    least = kept;
    best = largest - below;
  }
  return static_cast<uint8_t>(best);
}

}  // namespace lpc::lz4
