// One product of a row of activations with a matrix of normal(0, 0.02) bf16 weights, so many times: for
// neon_instructions.py, which counts what the processor executes.
//
//   neon_instructions bf16|e2+3|e3+3|hi4p|hi3 ROWS COLUMNS TIMES
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "codecs/packed/packed_codec.h"
#include "codecs/packed/params.h"
#include "codecs/packed/segment_layout.h"
#include "simd/dot/dot.h"
#include "simd/isa.h"

namespace {

std::vector<uint16_t> weights(size_t count) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<uint16_t> values(count);
  for (uint16_t& value : values) {
    const float weight = normal(random);
    uint32_t bits;
    std::memcpy(&bits, &weight, sizeof bits);
    value = static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
  }
  return values;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const std::string name = argv[1];
  const size_t rows = std::strtoul(argv[2], nullptr, 10);
  const size_t columns = std::strtoul(argv[3], nullptr, 10);
  const int times = std::atoi(argv[4]);
  const std::vector<uint16_t> raw = weights(rows * columns);
  const std::vector<float> x(columns, 0.5f);
  std::vector<float> arranged(columns + 64);
  std::vector<float> y(rows), expected(rows);
  const lpc::DotKernels& dot = lpc::dot_kernels();
  dot.arrange(x.data(), columns, arranged.data());
  dot.rows_bf16(raw.data(), columns, 0, rows, arranged.data(), expected.data());

  const lpc_tensor_desc tensor{LPC_DTYPE_BF16, 2, {rows, columns, 0, 0}};
  const lpc::SegmentShape shape{LPC_DTYPE_BF16, rows, 2 * columns};
  const lpc::Bytes bytes(reinterpret_cast<const uint8_t*>(raw.data()), 2 * raw.size());
  const lpc::CodecLayout* layout = lpc::find_layout(lpc::packed_codec(), name);
  if (layout == nullptr && name != "bf16") return 2;
  const lpc::Codec& codec = lpc::packed_codec().variant(layout == nullptr ? 0 : layout->id);
  const std::vector<uint8_t> params = codec.make_params(tensor, bytes);
  std::vector<uint8_t> stored(4 * raw.size() + 65536), scratch(codec.encode_scratch_bytes(shape));
  const size_t size = codec.encode(shape, params, bytes, stored, scratch);
  const lpc::PackedTables tables = lpc::packed::read_tables(params);
  const lpc::PackedRows packed = lpc::packed::open_segment(tables, shape, lpc::Bytes(stored).first(size));
  for (int i = 0; i < times; ++i) {
    if (name == "bf16") {
      dot.rows_bf16(raw.data(), columns, 0, rows, arranged.data(), y.data());
    } else {
      lpc::packed_kernels().dot(tables, {packed, 0, rows}, {0, nullptr}, arranged.data(), y.data());
    }
  }
  std::printf("%s %.3f\n", lpc::isa_name(lpc::active_isa()), 8.0 * static_cast<double>(size) / (rows * columns));
  return times == 0 || std::memcmp(y.data(), expected.data(), rows * sizeof(float)) == 0 ? 0 : 1;
}
