#include "matmul/bitmap_matrix.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "codecs/bitmap/segment_layout.h"
#include "matmul/scratch.h"
#include "simd/bitmap.h"
#include "simd/dot.h"

namespace lpc {
namespace {

constexpr size_t kBytesPerRun = size_t{512} << 10;  // decoded: worth handing to another thread
constexpr size_t kBytesPerPanel = size_t{4} << 20;  // decoded: stays in the caches until it is multiplied

struct Call {
  const BitmapMatrix& matrix;
  const float* x;  // arranged
  size_t m;
  float* y;
};

void few_rows(void* context, size_t task) {
  const Call& call = *static_cast<const Call*>(context);
  const BitmapMatrix& matrix = call.matrix;
  const BitmapMatrix::Run& run = matrix.runs()[task];
  for (size_t i = 0; i < call.m; ++i) {
    const float* const x = call.x + i * arranged_columns(matrix.columns());
    float* const y = call.y + i * matrix.total_rows() + run.first_row;
    if (run.raw != nullptr) {
      dot_kernels().rows_bf16(run.raw, matrix.columns(), run.begin, run.end, x, y);
    } else {
      bitmap_dot_kernels().dot(run.rows, run.begin, run.end, x, y);
    }
  }
}

// Some runs to be decoded.
struct Panel {
  const BitmapMatrix& matrix;
  const BitmapMatrix::Run* runs;
  uint8_t* decoded;
};

void fill_panel(void* context, size_t task) {
  const Panel& panel = *static_cast<const Panel*>(context);
  const BitmapMatrix::Run& run = panel.runs[task];
  panel.matrix.decode(run, panel.decoded + (run.row() - panel.runs->row()) * panel.matrix.columns() * 2);
}

void several_rows(const BitmapMatrix& matrix, bool rows_are_outputs, const float* x, size_t m, float* y,
                  const ParallelLoop& loop) {
  thread_local Scratch scratch;
  const auto& runs = matrix.runs();
  const size_t row_bytes = 2 * matrix.columns();
  size_t most_rows = kBytesPerPanel / std::max<size_t>(row_bytes, 1);
  for (const auto& run : runs) most_rows = std::max(most_rows, run.count());
  auto* const decoded = scratch.get<uint8_t>(most_rows * row_bytes);
  for (size_t first = 0, end = 0; first < runs.size(); first = end) {
    size_t rows = 0;
    while (end < runs.size() && rows + runs[end].count() <= most_rows) rows += runs[end++].count();
    Panel panel{matrix, &runs[first], decoded};
    loop.run(loop.self, fill_panel, end - first, &panel);
    multiply(MatrixRows{decoded, LPC_DTYPE_BF16, matrix.columns(), runs[first].row(), rows, matrix.total_rows()},
             rows_are_outputs, x, m, y, loop);
  }
}

BitmapRows open_rows(const BlobHeader& header, size_t segment, Bytes stored) {
  const SegmentShape shape{header.tensor.dtype, header.segment_rows(segment), header.row_bytes};
  const bitmap::Layout layout(shape);
  bitmap::check_plain_segment(shape, stored);
  return {&stored[layout.bitmap_offset],
          &stored[bitmap::kRowTableOffset],
          stored.data() + layout.inner_offset,
          stored.data() + stored.size(),
          layout.columns,
          layout.row_bitmap_bytes};
}

}  // namespace

bool BitmapMatrix::can_hold(const BlobHeader& header) {
  return header.codec == LPC_CODEC_BITMAP && header.tensor.dtype == LPC_DTYPE_BF16 && header.tensor.rank == 2 &&
         !header.segments.empty() && header.codec_params[bitmap::kInnerCodecOffset] == LPC_CODEC_STORED;
}

BitmapMatrix::BitmapMatrix(const BlobHeader& header, size_t first_segment, size_t segment_count, Bytes stored)
    : columns_(header.tensor.shape[1]), total_rows_(header.tensor.shape[0]) {
  if (!can_hold(header) || segment_count == 0) {
    throw Error(LPC_INVALID_ARGUMENT, "BitmapMatrix: expected segments of a bf16 matrix in bitmap, its values plain");
  }
  const size_t rows_per_run = std::max<size_t>(kBytesPerRun / std::max<size_t>(header.row_bytes, 1), 1);
  const uint64_t base = header.segments.at(first_segment).offset;
  for (size_t i = first_segment; i < first_segment + segment_count; ++i) {
    const Segment& segment = header.segments.at(i);
    if (segment.offset - base > stored.size() || segment.bytes > stored.size() - (segment.offset - base)) {
      throw Error(LPC_INVALID_ARGUMENT, "BitmapMatrix: got " + std::to_string(stored.size()) +
                                            " bytes, which end before segment " + std::to_string(i));
    }
    const Bytes bytes = stored.subspan(segment.offset - base, segment.bytes);
    Run run;
    run.first_row = header.segment_first_row(i);
    if (segment.encoding == Encoding::kRaw) {
      run.raw = bytes.data();
    } else {
      run.rows = open_rows(header, i, bytes);
    }
    for (const size_t rows = header.segment_rows(i); run.begin < rows; run.begin = run.end) {
      run.end = std::min(rows, run.begin + rows_per_run);
      runs_.push_back(run);
    }
  }
}

void BitmapMatrix::decode(const Run& run, uint8_t* out) const {
  const size_t row_bytes = 2 * columns_;
  if (run.raw != nullptr) {
    std::memcpy(out, run.raw + run.begin * row_bytes, run.count() * row_bytes);
    return;
  }
  const auto expand = bitmap_kernels().expand[2];
  const uint32_t before = run.begin == 0 ? 0 : load<uint32_t>(run.rows.row_table + 4 * (run.begin - 1));
  const uint8_t* next = run.rows.values + size_t{2} * before;
  for (size_t r = run.begin; r < run.end; ++r, out += row_bytes) {
    next += 2 * expand(run.rows.bitmap + r * run.rows.row_bitmap_bytes, columns_, next, run.rows.values_end, out);
  }
}

void multiply(const BitmapMatrix& matrix, bool rows_are_outputs, const float* x, size_t m, float* y,
              const ParallelLoop& loop) {
  if (m == 0) return;
  if (m > kFewRows || !rows_are_outputs) return several_rows(matrix, rows_are_outputs, x, m, y, loop);
  Call call{matrix, arranged(x, m, matrix.columns()), m, y};
  loop.run(loop.self, few_rows, matrix.runs().size(), &call);
}

}  // namespace lpc
