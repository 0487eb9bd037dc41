// The ring's inner loops for AVX-512: vpmullq and vpaddq on 8 x 2 register tiles.
#include <immintrin.h>

#include "ring/kernels.h"

namespace tacit {
namespace {

#include "ring/common.inl"

constexpr std::size_t kLanes = 8;
constexpr std::size_t kRows = 8;
constexpr std::size_t kVecs = 2;

template <std::size_t Rows, std::size_t Vecs>
void fixed_tile(std::size_t depth, const u64* a, std::size_t a_row, const u64* panel, u64* out) {
  __m512i sum[Rows][Vecs];
#pragma GCC unroll 8
  for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
    for (std::size_t v = 0; v < Vecs; ++v) sum[r][v] = _mm512_setzero_si512();
  }
  for (std::size_t k = 0; k < depth; ++k, panel += Vecs * kLanes, ++a) {
    __m512i b[Vecs];
#pragma GCC unroll 2
    for (std::size_t v = 0; v < Vecs; ++v) b[v] = _mm512_loadu_si512(panel + v * kLanes);
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
      const __m512i scalar = _mm512_set1_epi64(static_cast<long long>(a[r * a_row]));
#pragma GCC unroll 2
      for (std::size_t v = 0; v < Vecs; ++v) {
        sum[r][v] = _mm512_add_epi64(sum[r][v], _mm512_mullo_epi64(scalar, b[v]));
      }
    }
  }
#pragma GCC unroll 8
  for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
    for (std::size_t v = 0; v < Vecs; ++v) _mm512_storeu_si512(out + (r * Vecs + v) * kLanes, sum[r][v]);
  }
}

using TileFn = void (*)(std::size_t, const u64*, std::size_t, const u64*, u64*);

template <std::size_t Rows>
constexpr TileFn by_vecs(std::size_t vecs) {
  return vecs == 2 ? fixed_tile<Rows, 2> : fixed_tile<Rows, 1>;
}

void tile(std::size_t depth, const u64* a, std::size_t a_row, std::size_t rows, const u64* panel, std::size_t vecs,
          u64* out) {
  TileFn fn = nullptr;
  switch (rows) {
    case 1: fn = by_vecs<1>(vecs); break;
    case 2: fn = by_vecs<2>(vecs); break;
    case 3: fn = by_vecs<3>(vecs); break;
    case 4: fn = by_vecs<4>(vecs); break;
    case 5: fn = by_vecs<5>(vecs); break;
    case 6: fn = by_vecs<6>(vecs); break;
    case 7: fn = by_vecs<7>(vecs); break;
    default: fn = by_vecs<8>(vecs); break;
  }
  fn(depth, a, a_row, panel, out);
}

// In unsigned words: GCC's own reduction adds signed ones, whose overflow is undefined.
u64 total(__m512i v) {
  u64 part[kLanes];
  _mm512_storeu_si512(part, v);
  return ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
}

template <std::size_t Rows, std::size_t Cols>
void fixed_dot(std::size_t depth, const u64* w, std::size_t w_row, const u64* x, std::size_t x_row, u64* out) {
  __m512i sum[Rows][Cols];
  for (auto& row : sum) {
    for (auto& s : row) s = _mm512_setzero_si512();
  }
  for (std::size_t k = 0; k < depth; k += kLanes) {
    const std::size_t left = depth - k;
    const auto mask = static_cast<__mmask8>(left >= kLanes ? 0xff : (1u << left) - 1);
    __m512i xs[Cols];
    for (std::size_t c = 0; c < Cols; ++c) xs[c] = _mm512_maskz_loadu_epi64(mask, x + c * x_row + k);
    for (std::size_t r = 0; r < Rows; ++r) {
      const __m512i ws = _mm512_maskz_loadu_epi64(mask, w + r * w_row + k);
      for (std::size_t c = 0; c < Cols; ++c) sum[r][c] = _mm512_add_epi64(sum[r][c], _mm512_mullo_epi64(ws, xs[c]));
    }
  }
  for (std::size_t r = 0; r < Rows; ++r) {
    for (std::size_t c = 0; c < Cols; ++c) out[r * Cols + c] = total(sum[r][c]);
  }
}

using DotFn = void (*)(std::size_t, const u64*, std::size_t, const u64*, std::size_t, u64*);

template <std::size_t Rows>
constexpr DotFn by_cols(std::size_t cols) {
  return cols == 4   ? fixed_dot<Rows, 4>
         : cols == 3 ? fixed_dot<Rows, 3>
         : cols == 2 ? fixed_dot<Rows, 2>
                     : fixed_dot<Rows, 1>;
}

void dot(std::size_t depth, const u64* w, std::size_t w_row, std::size_t rows, const u64* x, std::size_t x_row,
         std::size_t cols, u64* out) {
  const DotFn fn = rows == 4   ? by_cols<4>(cols)
                   : rows == 3 ? by_cols<3>(cols)
                   : rows == 2 ? by_cols<2>(cols)
                               : by_cols<1>(cols);
  fn(depth, w, w_row, x, x_row, out);
}

}  // namespace

const RingKernels& ring_avx512() {
  static constexpr RingKernels table{kLanes, kRows, kVecs, tile, dot, gather, copy, put, axpy, add, sub, scale};
  return table;
}

}  // namespace tacit
