#include "ep/placement.h"

#include "codecs/codec.h"
#include "codecs/packed/params.h"
#include "matmul/registry.h"

namespace lpc {
namespace {

PackedLayout layout_of(const ProviderOptions& options) {
  return options.transcode_layout == 0 ? packed::fastest_layout() : static_cast<PackedLayout>(options.transcode_layout);
}

}  // namespace

bool gains_by_transcoding(const BlobHeader& header, const ProviderOptions& options) {
  const lpc_tensor_desc& tensor = header.tensor;
  if (tensor.dtype != LPC_DTYPE_BF16 || tensor.rank != 2 || header.decoded_bytes() == 0) return false;
  if (header.codec != LPC_CODEC_PACKED) return !can_multiply_stored(header);
  return packed::read_tables(header.codec_params).layout != layout_of(options);
}

ScheduledBlob place_blob(const std::shared_ptr<const StoredBlob>& blob, Residence residence,
                         const ProviderOptions& options) {
  const auto from_file = std::make_shared<SegmentSource>(blob);
  if (residence == Residence::kDecoded) return ScheduledBlob::decoded(from_file, Home::kMemory);
  if (residence == Residence::kTranscoded && gains_by_transcoding(blob->header(), options)) {
    const Codec& packed = get_codec(LPC_CODEC_PACKED).variant(static_cast<uint32_t>(layout_of(options)));
    return ScheduledBlob::transcoded(from_file, Home::kMemory, packed);
  }
  const Home home = residence == Residence::kStreamed ? Home::kRing : Home::kMemory;
  if (can_multiply_stored(blob->header())) return ScheduledBlob::stored(from_file, home);
  if (home == Home::kRing) return ScheduledBlob::decoded(from_file, Home::kRing);
  return ScheduledBlob::decoded(std::make_shared<KeptSource>(blob), Home::kRing);  // kept as stored, decoded each pass
}

}  // namespace lpc
