#include "ep/options.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <string_view>

#include "base/error.h"
#include "codecs/codec.h"

namespace lpc {
namespace {

constexpr uint64_t kMaxThreads = 256;
constexpr uint64_t kMaxBytes = uint64_t{1} << 48;
constexpr int64_t kLastLayer = std::numeric_limits<int64_t>::max();  // of a state that holds for all

// docs/provider_options.md has the same table.
constexpr OptionInfo kOptions[] = {
    {"residence", "`auto`, a state, or `LAYERS:STATE,...`", "auto",
     "Where the weights live. `auto`: the provider chooses within `memory_budget_bytes`. A state holds for all layers; "
     "layers that a list such as `1-5:transcoded,6:decoded` does not name are `streamed`."},
    {"memory_budget_bytes", "0 to 2^48", "0",
     "What the process may take in all when the provider chooses. 0: what is free."},
    {"transcode_layout", "`auto`, or a layout of `packed`", "auto",
     "The layout of transcoded weights. `auto`: the one that this machine computes from quickest."},
    {"decode_threads", "0 to 256", "0", "Threads that decode weights. 0: one a core."},
    {"product_threads", "0 to 256", "0",
     "Threads of the provider's own for products, awake from one to the next. 0: products run on the session's."},
    {"ring_bytes", "0 to 2^48", "0", "Memory that streamed weights pass through. 0: what the weights need."},
    {"read_mode", "`auto`, `direct`, `buffered`", "auto",
     "How the weight file is read: past the page cache, through it, or whichever the first reads show to be faster."},
    {"bus_limit_bytes_per_s", "0 to 2^48", "0", "Imitates slower storage. 0: no limit."},
    {"model_folder", "a folder", "",
     "Where the weight file lies, for a model that is loaded from bytes. Empty: where the model was loaded from."},
    {"trace_file", "a file", "",
     "A Chrome trace of reading, decoding, waiting and computing, written when the session closes. Empty: none."},
    {"session_id", "any text", "", "Names the session for `lpc_get_session_stats`."},
};

struct StateName {
  const char* name;
  Residence residence;
};

// The first name of a residence is the one that it is told by.
constexpr StateName kStates[] = {{"decoded", Residence::kDecoded},
                                 {"transcoded", Residence::kTranscoded},
                                 {"resident", Residence::kResident},
                                 {"streamed", Residence::kStreamed},
                                 {"on_demand", Residence::kStreamed}};

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

// "decoded", "3:decoded" or "3-7:decoded".
bool parse_range(std::string_view text, ResidenceRange& range) {
  const size_t colon = text.find(':');
  const std::string_view name = colon == std::string_view::npos ? text : text.substr(colon + 1);
  const auto* state =
      std::find_if(std::begin(kStates), std::end(kStates), [&](auto& known) { return name == known.name; });
  if (state == std::end(kStates)) return false;
  range = {0, kLastLayer, state->residence};
  if (colon == std::string_view::npos) return true;
  const std::string_view layers = text.substr(0, colon);
  const size_t dash = layers.find('-');
  uint64_t first = 0;
  if (!parse_number(layers.substr(0, dash), first)) return false;
  uint64_t last = first;
  if (dash != std::string_view::npos && !parse_number(layers.substr(dash + 1), last)) return false;
  range.first = static_cast<int64_t>(first);
  range.last = static_cast<int64_t>(last);
  return first <= last;
}

uint32_t transcode_layout(const std::string& text) {
  if (text.empty() || text == "auto") return 0;
  const Codec& packed = get_codec(LPC_CODEC_PACKED);
  if (const CodecLayout* layout = find_layout(packed, text)) return layout->id;
  std::string expected = "auto";
  for (const CodecLayout& layout : packed.layouts()) {
    expected += (&layout == &packed.layouts().back() ? " or " : ", ") + std::string(layout.name);
  }
  refuse("transcode_layout", text, expected);
}

std::vector<ResidenceRange> residence_ranges(std::string_view text) {
  std::vector<ResidenceRange> ranges;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    ResidenceRange range;
    if (!parse_range(text.substr(0, comma), range)) {
      refuse("residence", text.substr(0, comma),
             "auto, STATE, LAYER:STATE or FIRST-LAST:STATE, STATE one of decoded, transcoded, resident, "
             "streamed, on_demand");
    }
    ranges.push_back(range);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  }
  return ranges;
}

void require_known(const std::map<std::string, std::string>& given) {
  std::string names;
  for (const OptionInfo& option : kOptions) {
    if (!names.empty()) names += ", ";
    names += option.name;
  }
  for (const auto& [key, value] : given) {
    const bool known =
        std::any_of(std::begin(kOptions), std::end(kOptions), [&](auto& one) { return key == one.name; });
    if (known) continue;
    throw Error(LPC_INVALID_ARGUMENT, "provider option " + key + ": is not known; known options are " + names);
  }
}

// Where weights live: as the user says, or as the provider chooses within a budget.
void take_residence(ProviderOptions& options, const std::string& residence, const std::string& budget) {
  options.chooses_residence = residence.empty() || residence == "auto";
  options.memory_budget_bytes = number_option("memory_budget_bytes", budget, kMaxBytes);
  if (options.chooses_residence) return;
  options.residence = residence_ranges(residence);
  if (options.memory_budget_bytes == 0) return;
  refuse("memory_budget_bytes", budget, "0 with a residence that is not auto");
}

}  // namespace

std::span<const OptionInfo> known_options() { return kOptions; }

Residence residence_of(const std::vector<ResidenceRange>& ranges, int64_t layer) {
  for (const ResidenceRange& range : ranges) {
    if (range.first <= layer && layer <= range.last) return range.residence;
  }
  return Residence::kStreamed;
}

std::string residence_text(const std::vector<ResidenceRange>& ranges) {
  std::string text;
  for (const ResidenceRange& range : ranges) {
    const auto* state = std::find_if(std::begin(kStates), std::end(kStates),
                                     [&](auto& known) { return known.residence == range.residence; });
    if (!text.empty()) text += ',';
    if (range.last != kLastLayer) {
      text.append(std::to_string(range.first));
      if (range.last != range.first) text.append("-").append(std::to_string(range.last));
      text += ':';
    }
    text += state->name;
  }
  return text;
}

ProviderOptions parse_options(const std::map<std::string, std::string>& given) {
  require_known(given);
  const auto entry = [&](const char* name) {
    const auto found = given.find(name);
    return found == given.end() ? std::string() : found->second;
  };
  const auto number = [&](const char* name, uint64_t maximum) { return number_option(name, entry(name), maximum); };
  ProviderOptions options;
  options.session_id = entry("session_id");
  options.decode_threads = static_cast<unsigned>(number("decode_threads", kMaxThreads));
  options.product_threads = static_cast<unsigned>(number("product_threads", kMaxThreads));
  take_residence(options, entry("residence"), entry("memory_budget_bytes"));
  options.transcode_layout = transcode_layout(entry("transcode_layout"));
  options.ring_bytes = number("ring_bytes", kMaxBytes);
  options.file.mode = read_mode(entry("read_mode"));
  options.file.bus_limit_bytes_per_s = number("bus_limit_bytes_per_s", kMaxBytes);
  options.trace_file = entry("trace_file");
  options.model_folder = entry("model_folder");
  return options;
}

}  // namespace lpc
