#include "codecs/codec.h"

#include "codecs/layout.h"

namespace lpc {

const Codec& Codec::variant(uint32_t layout) const {
  if (layout == 0) return *this;
  throw Error(LPC_INVALID_ARGUMENT,
              "options.layout: got " + std::to_string(layout) + ", expected 0 for codec " + name());
}

size_t Codec::params_bound(const lpc_tensor_desc&) const { return 0; }

std::vector<uint8_t> Codec::make_params(const lpc_tensor_desc&, Bytes) const { return {}; }

void Codec::check_params(const lpc_tensor_desc&, Bytes params) const {
  if (!params.empty()) {
    throw_malformed(field::kCodecParamsBytes, params.size(), std::string("0 for codec ") + name());
  }
}

const CodecLayout* find_layout(const Codec& codec, std::string_view name) {
  for (const CodecLayout& layout : codec.layouts()) {
    if (layout.name == name) return &layout;
  }
  return nullptr;
}

void throw_unknown_layout(const Codec& codec, uint32_t layout, const std::string& own_choice) {
  const auto layouts = codec.layouts();
  std::string known = "0 (" + own_choice + ")";
  for (size_t i = 0; i < layouts.size(); ++i) {
    known += (i + 1 < layouts.size() ? ", " : " or ") + std::to_string(layouts[i].id) + " (" + layouts[i].name + ")";
  }
  throw Error(LPC_INVALID_ARGUMENT, "options.layout: got " + std::to_string(layout) + ", expected " + known);
}

}  // namespace lpc
