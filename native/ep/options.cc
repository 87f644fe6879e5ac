#include "ep/options.h"

#include <charconv>
#include <string_view>

#include "base/error.h"

namespace lpc {
namespace {

constexpr uint64_t kMaxThreads = 256;

[[noreturn]] void refuse(const char* option, std::string_view got, const std::string& expected) {
  throw Error(LPC_INVALID_ARGUMENT,
              std::string("provider option ") + option + ": got '" + std::string(got) + "', expected " + expected);
}

bool parse_number(std::string_view text, uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

uint64_t number_option(const char* option, const std::string& text, uint64_t maximum) {
  uint64_t value = 0;
  if (!text.empty() && (!parse_number(text, value) || value > maximum)) {
    refuse(option, text, "a whole number from 0 to " + std::to_string(maximum));
  }
  return value;
}

ReadMode read_mode(const std::string& text) {
  if (text.empty() || text == "auto") return ReadMode::kAuto;
  if (text == "direct") return ReadMode::kDirect;
  if (text == "buffered") return ReadMode::kBuffered;
  refuse("read_mode", text, "auto, direct or buffered");
}

// "3:decoded" or "3-7:decoded".
bool parse_range(std::string_view text, ResidenceRange& range) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return false;
  const std::string_view layers = text.substr(0, colon);
  const std::string_view name = text.substr(colon + 1);
  const size_t dash = layers.find('-');
  uint64_t first = 0;
  uint64_t last = 0;
  if (!parse_number(layers.substr(0, dash), first)) return false;
  last = first;
  if (dash != std::string_view::npos && !parse_number(layers.substr(dash + 1), last)) return false;
  range.first = static_cast<int64_t>(first);
  range.last = static_cast<int64_t>(last);
  if (name == "streamed" || name == "on_demand") {
    range.residence = Residence::kStreamed;
  } else if (name == "resident") {
    range.residence = Residence::kResident;
  } else if (name == "decoded") {
    range.residence = Residence::kDecoded;
  } else if (name == "transcoded") {
    range.residence = Residence::kTranscoded;
  } else {
    return false;
  }
  return first <= last;
}

uint32_t transcode_layout(const std::string& text) {
  if (text.empty() || text == "auto") return 0;
  if (text == "e2+3") return LPC_PACKED_E2P3;
  if (text == "e3+3") return LPC_PACKED_E3P3;
  if (text == "hi4p") return LPC_PACKED_HI4P;
  if (text == "hi3") return LPC_PACKED_HI3;
  refuse("transcode_layout", text, "auto, e2+3, e3+3, hi4p or hi3");
}

std::vector<ResidenceRange> residence_ranges(std::string_view text) {
  std::vector<ResidenceRange> ranges;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    ResidenceRange range;
    if (!parse_range(text.substr(0, comma), range)) {
      refuse("residence", text.substr(0, comma),
             "LAYER:STATE or FIRST-LAST:STATE, STATE one of decoded, transcoded, resident, "
             "streamed, on_demand");
    }
    ranges.push_back(range);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  }
  return ranges;
}

}  // namespace

Residence ProviderOptions::residence_of(int64_t layer) const {
  for (const ResidenceRange& range : residence) {
    if (range.first <= layer && layer <= range.last) return range.residence;
  }
  return Residence::kStreamed;
}

ProviderOptions parse_options(const std::function<std::string(const char*)>& entry) {
  ProviderOptions options;
  options.session_id = entry("session_id");
  options.decode_threads = static_cast<unsigned>(number_option("decode_threads", entry("decode_threads"), kMaxThreads));
  options.product_threads =
      static_cast<unsigned>(number_option("product_threads", entry("product_threads"), kMaxThreads));
  options.residence = residence_ranges(entry("residence"));
  options.transcode_layout = transcode_layout(entry("transcode_layout"));
  options.ring_bytes = number_option("ring_bytes", entry("ring_bytes"), uint64_t{1} << 48);
  options.file.mode = read_mode(entry("read_mode"));
  options.file.bus_limit_bytes_per_s =
      number_option("bus_limit_bytes_per_s", entry("bus_limit_bytes_per_s"), uint64_t{1} << 48);
  options.trace_file = entry("trace_file");
  options.model_folder = entry("model_folder");
  return options;
}

}  // namespace lpc
