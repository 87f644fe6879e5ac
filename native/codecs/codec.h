// What a codec is: a folder with an implementation of this interface, a spec.md, and one line in registry.cc.
//
// A codec turns one segment (whole rows of one dtype) into bytes and back. It knows neither files, threads, headers
// nor ONNX Runtime, holds no state and never allocates: scratch memory comes from the caller.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "codecs/blob_header.h"
#include "codecs/tensor.h"

namespace lpc {

// What a segment decodes to.
struct SegmentShape {
  uint32_t dtype = 0;
  uint64_t rows = 0;
  uint64_t row_bytes = 0;

  uint64_t bytes() const { return rows * row_bytes; }
  uint64_t elements() const { return bytes() / dtype_bytes(dtype); }
};

inline SegmentShape segment_shape(const BlobHeader& header, size_t index) {
  return {header.tensor.dtype, header.segment_rows(index), header.row_bytes};
}

// One of the ways in which a codec encodes; `id` is what lpc_encode_options.layout names, never 0.
struct CodecLayout {
  uint32_t id;
  const char* name;
};

// A set of dtypes: bit D stands for lpc_dtype D.
constexpr uint32_t dtype_bit(uint32_t dtype) { return uint32_t{1} << dtype; }
inline constexpr uint32_t kEveryDtype = 0xFE;

class Codec {
 public:
  virtual ~Codec() = default;

  // As blobs name it; a number below 256 that no other codec has or had.
  virtual uint32_t id() const = 0;
  virtual const char* name() const = 0;

  // What lpc_describe_codec tells of it. Dtypes that it does not encode stay raw.
  virtual uint32_t dtypes() const { return kEveryDtype; }
  // Whether it is made for weights of which many are 0.
  virtual bool is_sparse() const { return false; }
  // Decoded bytes a second on one core of a slow machine: what plans assume until somebody measures.
  virtual uint64_t assumed_decode_bytes_per_s() const = 0;
  virtual std::span<const CodecLayout> layouts() const { return {}; }

  // The same codec encoding in one of its layouts, 0 being its own choice. Throws LPC_INVALID_ARGUMENT if it has no
  // such.
  virtual const Codec& variant(uint32_t layout) const;

  // Codec parameters: what all segments of a tensor share, such as tables; kept in the header. Most codecs have none.
  virtual size_t params_bound(const lpc_tensor_desc& tensor) const;
  virtual std::vector<uint8_t> make_params(const lpc_tensor_desc& tensor, Bytes src) const;
  // Whether parameters made for a part of the tensor serve for all of it.
  virtual bool params_from_sample() const { return true; }
  // Throws LPC_FORMAT_ERROR for parameters that this codec cannot have written.
  virtual void check_params(const lpc_tensor_desc& tensor, Bytes params) const;

  // Encodes one segment into `dst` and returns the stored size; 0 if it does not fit, and the segment is kept raw.
  virtual size_t encode_scratch_bytes(const SegmentShape& shape) const = 0;
  virtual size_t encode(const SegmentShape& shape, Bytes params, Bytes src, MutableBytes dst,
                        MutableBytes scratch) const = 0;

  // No encoded segment of this shape is smaller: bounds what a header may claim before anything is allocated for it.
  virtual size_t min_stored_bytes(const SegmentShape& shape) const = 0;

  // Decodes one segment; `out` has exactly shape.bytes() bytes and any alignment, and so may `scratch`.
  // Trusts nothing in `stored`: throws LPC_FORMAT_ERROR naming field and offset (from the start of the segment).
  virtual size_t decode_scratch_bytes(const SegmentShape& shape) const = 0;
  virtual void decode(const SegmentShape& shape, Bytes params, Bytes stored, MutableBytes out,
                      MutableBytes scratch) const = 0;
};

// The codecs of this build (codecs/registry.cc); `index` less than their number.
size_t codec_count();
const Codec& codec_at(size_t index);

// The codec of this build with this id; null for one that it does not know.
const Codec* find_codec(uint32_t id);

// Throws LPC_UNSUPPORTED, naming the codecs that there are.
const Codec& get_codec(uint32_t id);

// Null if the codec has no layout of this name.
const CodecLayout* find_layout(const Codec& codec, std::string_view name);

// Throws LPC_INVALID_ARGUMENT for a layout that the codec does not have; `own_choice` is what 0 stands for.
[[noreturn]] void throw_unknown_layout(const Codec& codec, uint32_t layout, const std::string& own_choice);

}  // namespace lpc
