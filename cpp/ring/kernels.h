// The innermost loops of the ring, one table per tier; everything around them is written once.
#pragma once

#include "base/tier.h"
#include "base/types.h"

namespace tacit {

// A stretch of pixels that lie side by side in memory: panel columns [dst, dst + len) are x[src ...].
struct Run {
  std::size_t dst;
  std::size_t src;
  std::size_t len;
};

// The most rows and columns of one call to `dot`.
inline constexpr std::size_t kDotRows = 4;
inline constexpr std::size_t kDotCols = 4;

struct RingKernels {
  std::size_t lanes;     // words in a vector
  std::size_t max_rows;  // rows of a register tile
  std::size_t max_vecs;  // vectors in a row of a register tile

  // out[rows][vecs * lanes] = a[rows][depth] x panel[depth][vecs * lanes]; a's rows are `a_row` words apart.
  void (*tile)(std::size_t depth, const u64* a, std::size_t a_row, std::size_t rows, const u64* panel, std::size_t vecs,
               u64* out);
  // out[r * cols + c] = <w[r], x[c]> for up to kDotRows rows and kDotCols cols of `depth` words.
  void (*dot)(std::size_t depth, const u64* w, std::size_t w_row, std::size_t rows, const u64* x, std::size_t x_row,
              std::size_t cols, u64* out);
  // panel[k][j] = x[offset[k] + (source of column j)]; columns no run covers become 0.
  void (*gather)(std::size_t depth, const u64* x, const std::size_t* offset, const Run* runs, std::size_t count,
                 std::size_t width, u64* panel);
  // dst[k][j] = src[k * src_row + j] for j < cols, and 0 up to `width`.
  void (*copy)(std::size_t depth, const u64* src, std::size_t src_row, std::size_t cols, std::size_t width, u64* dst);
  // out[j] (+)= tile[j] (+ init[j]): `accumulate` adds to what is there, `init` may be null.
  void (*put)(std::size_t n, const u64* tile, const u64* init, bool accumulate, u64* out);
  // out[i] += w * x[i * step]
  void (*axpy)(std::size_t n, u64 w, const u64* x, std::size_t step, u64* out);
  void (*add)(std::size_t n, const u64* a, const u64* b, u64* out);
  void (*sub)(std::size_t n, const u64* a, const u64* b, u64* out);
  void (*scale)(std::size_t n, const u64* a, u64 s, u64* out);
};

const RingKernels& ring_kernels(Tier tier);

const RingKernels& ring_portable();
const RingKernels& ring_avx2();
const RingKernels& ring_avx512();

}  // namespace tacit
