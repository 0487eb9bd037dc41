// The ring's inner loops for AVX-512: vpmullq or vpmulld and a sum, on 8 x 2 register tiles.
//
// On the cores that multiply a vector of either width per cycle (Zen 4), 32-bit words are twice the work per cycle; a
// product of 16-bit halves by vpdpwssd is slower there: three of them make two.
#include <immintrin.h>

#include "ring/kernels.h"

namespace tacit {
namespace {

#include "ring/common.inl"

// What differs between the words.
template <class Word>
struct Lanes;

template <>
struct Lanes<u64> {
  static constexpr std::size_t kCount = 8;

  static __m512i all(u64 word) { return _mm512_set1_epi64(static_cast<long long>(word)); }
  static __m512i plus_product(__m512i sum, __m512i a, __m512i b) {
    return _mm512_add_epi64(sum, _mm512_mullo_epi64(a, b));
  }
  // The first `n` words, zeros after them.
  static __m512i first(std::size_t n, const u64* p) {
    return _mm512_maskz_loadu_epi64(static_cast<__mmask8>(n >= kCount ? 0xff : (1u << n) - 1), p);
  }
};

template <>
struct Lanes<u32> {
  static constexpr std::size_t kCount = 16;

  static __m512i all(u32 word) { return _mm512_set1_epi32(static_cast<int>(word)); }
  static __m512i plus_product(__m512i sum, __m512i a, __m512i b) {
    return _mm512_add_epi32(sum, _mm512_mullo_epi32(a, b));
  }
  static __m512i first(std::size_t n, const u32* p) {
    return _mm512_maskz_loadu_epi32(static_cast<__mmask16>(n >= kCount ? 0xffff : (1u << n) - 1), p);
  }
};

constexpr std::size_t kRows = 8;
constexpr std::size_t kVecs = 2;

template <class Word, std::size_t Rows, std::size_t Vecs>
void fixed_tile(std::size_t depth, const Word* a, std::size_t a_row, const Word* panel, Word* out) {
  constexpr std::size_t kCount = Lanes<Word>::kCount;
  __m512i sum[Rows][Vecs];
#pragma GCC unroll 8
  for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
    for (std::size_t v = 0; v < Vecs; ++v) sum[r][v] = _mm512_setzero_si512();
  }
  for (std::size_t k = 0; k < depth; ++k, panel += Vecs * kCount, ++a) {
    __m512i b[Vecs];
#pragma GCC unroll 2
    for (std::size_t v = 0; v < Vecs; ++v) b[v] = _mm512_loadu_si512(panel + v * kCount);
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
      const __m512i scalar = Lanes<Word>::all(a[r * a_row]);
#pragma GCC unroll 2
      for (std::size_t v = 0; v < Vecs; ++v) sum[r][v] = Lanes<Word>::plus_product(sum[r][v], scalar, b[v]);
    }
  }
#pragma GCC unroll 8
  for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
    for (std::size_t v = 0; v < Vecs; ++v) _mm512_storeu_si512(out + (r * Vecs + v) * kCount, sum[r][v]);
  }
}

template <class Word>
using TileFn = void (*)(std::size_t, const Word*, std::size_t, const Word*, Word*);

template <class Word, std::size_t Rows>
constexpr TileFn<Word> by_vecs(std::size_t vecs) {
  return vecs == 2 ? fixed_tile<Word, Rows, 2> : fixed_tile<Word, Rows, 1>;
}

template <class Word>
void tile(std::size_t depth, const Word* a, std::size_t a_row, std::size_t rows, const Word* panel, std::size_t vecs,
          Word* out) {
  TileFn<Word> fn = nullptr;
  switch (rows) {
    case 1: fn = by_vecs<Word, 1>(vecs); break;
    case 2: fn = by_vecs<Word, 2>(vecs); break;
    case 3: fn = by_vecs<Word, 3>(vecs); break;
    case 4: fn = by_vecs<Word, 4>(vecs); break;
    case 5: fn = by_vecs<Word, 5>(vecs); break;
    case 6: fn = by_vecs<Word, 6>(vecs); break;
    case 7: fn = by_vecs<Word, 7>(vecs); break;
    default: fn = by_vecs<Word, 8>(vecs); break;
  }
  fn(depth, a, a_row, panel, out);
}

// In unsigned words: GCC's own reduction adds signed ones, whose overflow is undefined.
template <class Word>
Word total(__m512i v) {
  Word part[Lanes<Word>::kCount];
  _mm512_storeu_si512(part, v);
  Word sum = 0;
  for (const Word word : part) sum += word;
  return sum;
}

template <class Word, std::size_t Rows, std::size_t Cols>
void fixed_dot(std::size_t depth, const Word* w, std::size_t w_row, const Word* x, std::size_t x_row, Word* out) {
  __m512i sum[Rows][Cols];
  for (auto& row : sum) {
    for (auto& s : row) s = _mm512_setzero_si512();
  }
  for (std::size_t k = 0; k < depth; k += Lanes<Word>::kCount) {
    const std::size_t left = depth - k;
    __m512i xs[Cols];
    for (std::size_t c = 0; c < Cols; ++c) xs[c] = Lanes<Word>::first(left, x + c * x_row + k);
    for (std::size_t r = 0; r < Rows; ++r) {
      const __m512i ws = Lanes<Word>::first(left, w + r * w_row + k);
      for (std::size_t c = 0; c < Cols; ++c) sum[r][c] = Lanes<Word>::plus_product(sum[r][c], ws, xs[c]);
    }
  }
  for (std::size_t r = 0; r < Rows; ++r) {
    for (std::size_t c = 0; c < Cols; ++c) out[r * Cols + c] = total<Word>(sum[r][c]);
  }
}

template <class Word>
using DotFn = void (*)(std::size_t, const Word*, std::size_t, const Word*, std::size_t, Word*);

template <class Word, std::size_t Rows>
constexpr DotFn<Word> by_cols(std::size_t cols) {
  return cols == 4   ? fixed_dot<Word, Rows, 4>
         : cols == 3 ? fixed_dot<Word, Rows, 3>
         : cols == 2 ? fixed_dot<Word, Rows, 2>
                     : fixed_dot<Word, Rows, 1>;
}

template <class Word>
void dot(std::size_t depth, const Word* w, std::size_t w_row, std::size_t rows, const Word* x, std::size_t x_row,
         std::size_t cols, Word* out) {
  const DotFn<Word> fn = rows == 4   ? by_cols<Word, 4>(cols)
                         : rows == 3 ? by_cols<Word, 3>(cols)
                         : rows == 2 ? by_cols<Word, 2>(cols)
                                     : by_cols<Word, 1>(cols);
  fn(depth, w, w_row, x, x_row, out);
}

}  // namespace

const RingKernels& ring_avx512() {
  static constexpr RingKernels kernels{table<u64>({Lanes<u64>::kCount, kRows, kVecs}, tile<u64>, dot<u64>),
                                       table<u32>({Lanes<u32>::kCount, kRows, kVecs}, tile<u32>, dot<u32>), add, sub,
                                       scale};
  return kernels;
}

}  // namespace tacit
