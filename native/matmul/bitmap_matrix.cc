#include "matmul/bitmap_matrix.h"

#include <algorithm>
#include <cstring>

#include "codecs/bitmap/segment_layout.h"
#include "matmul/decoded_matrix.h"
#include "matmul/scratch.h"
#include "matmul/segments.h"
#include "simd/bitmap/bitmap.h"
#include "simd/dot/dot.h"

namespace lpc {
namespace {

constexpr size_t kBytesPerRun = size_t{512} << 10;  // decoded: worth handing to another thread
constexpr size_t kBytesPerPanel = size_t{4} << 20;  // decoded: stays in the caches until it is multiplied

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

bool BitmapMatrix::can_hold(const BlobHeader& header, Form form, const RowScales&) {
  return form != Form::kDecoded && header.codec == LPC_CODEC_BITMAP && is_bf16_matrix(header) &&
         header.codec_params[bitmap::kInnerCodecOffset] == LPC_CODEC_STORED;
}

BitmapMatrix::BitmapMatrix(const MatrixSource& source)
    : bytes_(source.bytes.data()), columns_(source.header.tensor.shape[1]), total_rows_(source.header.tensor.shape[0]) {
  const BlobHeader& header = source.header;
  const size_t rows_per_run = std::max<size_t>(kBytesPerRun / std::max<size_t>(header.row_bytes, 1), 1);
  for_each_segment(source, [&](size_t i, Bytes bytes) {
    Run run;
    run.first_row = header.segment_first_row(i);
    if (header.segments[i].encoding == Encoding::kRaw) {
      run.raw = bytes.data();
    } else {
      run.rows = open_rows(header, i, bytes);
    }
    for (const size_t rows = header.segment_rows(i); run.begin < rows; run.begin = run.end) {
      run.end = std::min(rows, run.begin + rows_per_run);
      runs_.push_back(run);
    }
  });
}

void BitmapMatrix::rebase(const uint8_t* bytes) {
  for (Run& run : runs_) {
    run.raw = moved(run.raw, bytes_, bytes);
    for (const uint8_t** place : {&run.rows.bitmap, &run.rows.row_table, &run.rows.values, &run.rows.values_end}) {
      *place = moved(*place, bytes_, bytes);
    }
  }
  bytes_ = bytes;
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

void BitmapMatrix::read(uint8_t* out, const Loop& loop) const {
  for_each(loop, runs_.size(),
           [&](size_t i) { decode(runs_[i], out + (runs_[i].row() - runs_.front().row()) * 2 * columns_); });
}

void BitmapMatrix::multiply(const Product& product, const Loop& loop) const {
  if (product.m == 0) return;
  product.m <= kFewRows&& product.rows_are_outputs ? few_rows(product, loop) : several_rows(product, loop);
}

void BitmapMatrix::few_rows(const Product& product, const Loop& loop) const {
  const float* const arranged_x = arranged(product.x, product.m, columns_);
  for_each(loop, runs_.size(), [&](size_t task) {
    const Run& run = runs_[task];
    for (size_t i = 0; i < product.m; ++i) {
      const float* const x = arranged_x + i * arranged_columns(columns_);
      float* const y = product.y + i * total_rows_ + run.first_row;
      if (run.raw != nullptr) {
        dot_kernels().rows_bf16(run.raw, columns_, run.begin, run.end, x, y);
      } else {
        bitmap_dot_kernels().dot(run.rows, run.begin, run.end, x, y);
      }
    }
  });
}

void BitmapMatrix::several_rows(const Product& product, const Loop& loop) const {
  thread_local Scratch scratch;
  const size_t row_bytes = 2 * columns_;
  size_t most_rows = kBytesPerPanel / std::max<size_t>(row_bytes, 1);
  for (const Run& run : runs_) most_rows = std::max(most_rows, run.count());
  auto* const decoded = scratch.get<uint8_t>(most_rows * row_bytes);
  for (size_t first = 0, end = 0; first < runs_.size(); first = end) {
    size_t rows = 0;
    while (end < runs_.size() && rows + runs_[end].count() <= most_rows) rows += runs_[end++].count();
    const size_t first_row = runs_[first].row();
    for_each(loop, end - first, [&](size_t i) {
      const Run& run = runs_[first + i];
      decode(run, decoded + (run.row() - first_row) * row_bytes);
    });
    multiply_rows({decoded, LPC_DTYPE_BF16, columns_, first_row, rows, total_rows_}, product, loop);
  }
}

}  // namespace lpc
