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

// A decoded byte of which the fraction f is encoded takes (f ratio + 1 - f) / bus to read and f / decode + (1 - f) /
// copy to decode. Where decoding costs more than copying, the second is at most the first as long as f is at most what
// is returned.
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
  if (1 / rates.decode <= copying) return 1;  // fewer bytes to read, and less to do
  const double spare = 1 / rates.bus - copying;
  const double cost = 1 / rates.decode - copying + (1 - rates.stored_ratio) / rates.bus;
  if (spare <= 0) return 0;  // not even raw segments keep up
  if (cost <= spare) return 1;
  return std::clamp(spare / cost, 0.0, 1.0);
}

}  // namespace lpc
