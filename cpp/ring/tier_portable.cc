// The ring's inner loops in plain C++.
#include "ring/kernels.h"

namespace tacit {
namespace {

#include "ring/common.inl"

constexpr std::size_t kLanes = 4;

template <std::size_t Rows>
void rows_tile(std::size_t depth, const u64* a, std::size_t a_row, const u64* panel, u64* out) {
  u64 sum[Rows][kLanes] = {};
  for (std::size_t k = 0; k < depth; ++k, panel += kLanes, ++a) {
    for (std::size_t r = 0; r < Rows; ++r) {
      for (std::size_t j = 0; j < kLanes; ++j) sum[r][j] += a[r * a_row] * panel[j];
    }
  }
  for (std::size_t r = 0; r < Rows; ++r) {
    for (std::size_t j = 0; j < kLanes; ++j) out[r * kLanes + j] = sum[r][j];
  }
}

void tile(std::size_t depth, const u64* a, std::size_t a_row, std::size_t rows, const u64* panel, std::size_t,
          u64* out) {
  (rows == 2 ? rows_tile<2> : rows_tile<1>)(depth, a, a_row, panel, out);
}

void dot(std::size_t depth, const u64* w, std::size_t w_row, std::size_t rows, const u64* x, std::size_t x_row,
         std::size_t cols, u64* out) {
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < cols; ++c) {
      u64 sum = 0;
      for (std::size_t k = 0; k < depth; ++k) sum += w[r * w_row + k] * x[c * x_row + k];
      out[r * cols + c] = sum;
    }
  }
}

}  // namespace

const RingKernels& ring_portable() {
  static constexpr RingKernels table{kLanes, 2, 1, tile, dot, gather, copy, put, axpy, add, sub, scale};
  return table;
}

}  // namespace tacit
