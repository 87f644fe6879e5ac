#include "codecs/partial.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace lpc {
namespace {

void check_rate(const char* name, double rate, bool may_be_zero) {
  if (rate > 0 || (may_be_zero && rate == 0)) return;  // false for NaN
  throw Error(LPC_INVALID_ARGUMENT, std::string("rates.") + name + ": got " + std::to_string(rate) + ", expected " +
                                        (may_be_zero ? "0 or more" : "more than 0"));
}

}  // namespace

// Rates are known to a few per cent, and fewer bytes are worth something: a time is as good as the best within this.
constexpr double kSlack = 1.05;

// A decoded byte of which the fraction f is encoded takes (f ratio + 1 - f) / bus to read and f / decode + (1 - f) /
// copy to decode. The longer of the two is shortest where they meet, or at one end.
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
  const double copying = rates.copy == 0 ? 0 : 1 / rates.copy;
  const double spare = 1 / rates.bus - copying;                      // reading less decoding, nothing being encoded
  const double slope = 1 / rates.decode - copying;                   // of decoding
  const double cost = slope + (1 - rates.stored_ratio) / rates.bus;  // of that difference
  const double best = slope <= 0 ? 1 : cost <= spare ? 1 : std::clamp(spare / cost, 0.0, 1.0);
  if (best == 1) return 1;
  const double time = copying + best * slope;  // decoding takes as long as reading there, or longer
  return std::min((kSlack * time - copying) / slope, 1.0);
}

}  // namespace lpc
