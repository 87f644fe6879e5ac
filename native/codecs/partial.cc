#include "codecs/partial.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"

namespace lpc {
namespace {

void check_rate(const char* name, double rate, bool may_be_zero) {
  if (rate > 0 || (may_be_zero && rate == 0)) return;  // false for NaN
  throw Error(LPC_INVALID_ARGUMENT, std::string("rates.") + name + ": got " + std::to_string(rate) + ", expected " +
                                        (may_be_zero ? "0 or more" : "more than 0"));
}

// Reading and decoding overlap, but not wholly where both take equally long: each then waits for the other in turn. The
// fourth power fits what was measured on one processor (docs/benchmarks/lossy.md): 19 % more than the longer of two.
constexpr double kOverlap = 4;

// Rates are known to a few per cent, and fewer bytes are worth something: a time is as good as the best within this.
constexpr double kSlack = 1.05;

constexpr int kSteps = 60;  // of each search: far below the 1 / LPC_PARTIAL_WHOLE that a fraction is rounded to

// Seconds for a decoded byte of which `fraction` is encoded. Convex in the fraction: a norm of two linear functions.
double seconds(const lpc_rates& rates, double fraction) {
  const double raw = 1 - fraction;
  const double reading = (fraction * rates.stored_ratio + raw) / rates.bus;
  const double decoding = fraction / rates.decode + (rates.copy == 0 ? 0 : raw / rates.copy);
  const double longer = std::max(reading, decoding);
  return longer * std::pow(1 + std::pow(std::min(reading, decoding) / longer, kOverlap), 1 / kOverlap);
}

// The fraction of the shortest time.
double quickest(const lpc_rates& rates) {
  double low = 0, high = 1;
  for (int i = 0; i < kSteps; ++i) {
    const double third = (high - low) / 3;
    if (seconds(rates, low + third) < seconds(rates, high - third)) {
      high -= third;
    } else {
      low += third;
    }
  }
  return (low + high) / 2;
}

}  // namespace

double partial_fraction(const lpc_rates& rates) {
  check_rate("bus", rates.bus, false);
  check_rate("decode", rates.decode, false);
  check_rate("copy", rates.copy, true);
  if (!(rates.stored_ratio >= 0 && rates.stored_ratio <= 1)) {
    throw Error(LPC_INVALID_ARGUMENT,
                "rates.stored_ratio: got " + std::to_string(rates.stored_ratio) + ", expected 0 to 1");
  }
  if (rates.reserved != 0) {
    throw Error(LPC_INVALID_ARGUMENT, "rates.reserved: got " + std::to_string(rates.reserved) + ", expected 0");
  }
  double low = quickest(rates), high = 1;
  const double limit = kSlack * std::min(seconds(rates, low), seconds(rates, 1));
  if (seconds(rates, 1) <= limit) return 1;
  for (int i = 0; i < kSteps; ++i) {
    const double middle = (low + high) / 2;
    (seconds(rates, middle) <= limit ? low : high) = middle;
  }
  return low;
}

}  // namespace lpc
