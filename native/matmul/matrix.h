// A weight matrix, or some of its rows, as products use it, whatever form it has in memory.
//
// All implementations give the same bits for the same weights: those of the decoded matrix.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "codecs/blob.h"
#include "codecs/form.h"
#include "matmul/loop.h"

namespace lpc {

// y[m, outputs] = x[m, inputs] . W, float32, x and y dense.
struct Product {
  const float* x = nullptr;
  size_t m = 0;
  float* y = nullptr;
  // True: W is the transpose of the matrix (outputs = rows, inputs = columns), and the outputs of the rows held are
  // written. False: W is the matrix, and the products of the rows held are added to y, which is cleared with the first
  // row of the matrix: its parts must come in order.
  bool rows_are_outputs = true;
};

// The scales of an int8 matrix: `group` neighbouring columns of a row share one, groups() a row.
struct RowScales {
  std::vector<float> values;  // [rows, groups]; empty: no scales
  size_t group = 1;

  size_t groups(size_t columns) const { return (columns + group - 1) / group; }
};

// Neighbouring segments of a blob in memory. Nothing is copied: all of it must outlive the matrix.
struct MatrixSource {
  const BlobHeader& header;  // of the blob that the bytes are of: the new one of a transcoded weight
  Form form;
  size_t first_segment;
  size_t segment_count;
  Bytes bytes;  // not kDecoded: from where the first segment begins to where the last one ends
  const RowScales& scales;
};

class Matrix {
 public:
  virtual ~Matrix() = default;

  // The share of these rows in a product; nothing to do for m = 0. Allocates nothing once a thread has seen its largest
  // product.
  virtual void multiply(const Product& product, const Loop& loop) const = 0;
  // All rows to `out`, dense, as their dtype; any alignment.
  virtual void read(uint8_t* out, const Loop& loop) const = 0;
  // The same bytes lie at `bytes` now. Allocates nothing.
  virtual void rebase(const uint8_t* bytes) = 0;
};

}  // namespace lpc
