// The ring's inner loops for AVX2: a 64-bit product is lo*lo + ((hi*lo + lo*hi) << 32), and the shift waits for the
// sum.
#include <immintrin.h>

#include "ring/kernels.h"

namespace tacit {
namespace {

#include "ring/common.inl"

constexpr std::size_t kLanes = 4;
constexpr std::size_t kRows = 2;
constexpr std::size_t kVecs = 2;

__m256i load(const u64* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
void store(u64* p, __m256i v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }

// A sum of products whose high halves are still unshifted.
struct Sum {
  __m256i low = _mm256_setzero_si256();
  __m256i cross = _mm256_setzero_si256();

  void add(__m256i a, __m256i a_high, __m256i b, __m256i b_high) {
    low = _mm256_add_epi64(low, _mm256_mul_epu32(a, b));
    cross = _mm256_add_epi64(cross, _mm256_add_epi64(_mm256_mul_epu32(a_high, b), _mm256_mul_epu32(a, b_high)));
  }

  __m256i total() const { return _mm256_add_epi64(low, _mm256_slli_epi64(cross, 32)); }
};

template <std::size_t Rows, std::size_t Vecs>
void fixed_tile(std::size_t depth, const u64* a, std::size_t a_row, const u64* panel, u64* out) {
  Sum sum[Rows][Vecs];
  for (std::size_t k = 0; k < depth; ++k, panel += Vecs * kLanes, ++a) {
    __m256i b[Vecs];
    __m256i b_high[Vecs];
#pragma GCC unroll 2
    for (std::size_t v = 0; v < Vecs; ++v) {
      b[v] = load(panel + v * kLanes);
      b_high[v] = _mm256_srli_epi64(b[v], 32);
    }
#pragma GCC unroll 2
    for (std::size_t r = 0; r < Rows; ++r) {
      const u64 scalar = a[r * a_row];
      const __m256i s = _mm256_set1_epi64x(static_cast<long long>(scalar));
      const __m256i s_high = _mm256_srli_epi64(s, 32);
#pragma GCC unroll 2
      for (std::size_t v = 0; v < Vecs; ++v) sum[r][v].add(s, s_high, b[v], b_high[v]);
    }
  }
  for (std::size_t r = 0; r < Rows; ++r) {
    for (std::size_t v = 0; v < Vecs; ++v) store(out + (r * Vecs + v) * kLanes, sum[r][v].total());
  }
}

void tile(std::size_t depth, const u64* a, std::size_t a_row, std::size_t rows, const u64* panel, std::size_t vecs,
          u64* out) {
  if (rows == 2) {
    (vecs == 2 ? fixed_tile<2, 2> : fixed_tile<2, 1>)(depth, a, a_row, panel, out);
  } else {
    (vecs == 2 ? fixed_tile<1, 2> : fixed_tile<1, 1>)(depth, a, a_row, panel, out);
  }
}

template <std::size_t Cols>
void row_dot(std::size_t depth, const u64* w, const u64* x, std::size_t x_row, u64* out) {
  Sum sum[Cols];
  std::size_t k = 0;
  for (; k + kLanes <= depth; k += kLanes) {
    const __m256i ws = load(w + k);
    const __m256i ws_high = _mm256_srli_epi64(ws, 32);
    for (std::size_t c = 0; c < Cols; ++c) {
      const __m256i xs = load(x + c * x_row + k);
      sum[c].add(ws, ws_high, xs, _mm256_srli_epi64(xs, 32));
    }
  }
  for (std::size_t c = 0; c < Cols; ++c) {
    u64 part[kLanes];
    store(part, sum[c].total());
    out[c] = part[0] + part[1] + part[2] + part[3];
    for (std::size_t i = k; i < depth; ++i) out[c] += w[i] * x[c * x_row + i];
  }
}

void dot(std::size_t depth, const u64* w, std::size_t w_row, std::size_t rows, const u64* x, std::size_t x_row,
         std::size_t cols, u64* out) {
  for (std::size_t r = 0; r < rows; ++r, w += w_row, out += cols) {
    switch (cols) {
      case 1: row_dot<1>(depth, w, x, x_row, out); break;
      case 2: row_dot<2>(depth, w, x, x_row, out); break;
      case 3: row_dot<3>(depth, w, x, x_row, out); break;
      default: row_dot<4>(depth, w, x, x_row, out); break;
    }
  }
}

}  // namespace

const RingKernels& ring_avx2() {
  static constexpr RingKernels table{kLanes, kRows, kVecs, tile, dot, gather, copy, put, axpy, add, sub, scale};
  return table;
}

}  // namespace tacit
