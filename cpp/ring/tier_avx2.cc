// The ring's inner loops for AVX2. A 32-bit product is vpmulld; a 64-bit one is lo*lo + ((hi*lo + lo*hi) << 32), and the
// shift waits for the sum.
#include <immintrin.h>

#include "ring/kernels.h"

namespace tacit {
namespace {

#include "ring/common.inl"

template <class Word>
__m256i load(const Word* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

template <class Word>
void store(Word* p, __m256i v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
}

// What differs between the words: a factor as products want it, their sum, and the tile that fits the registers.
template <class Word>
struct Lanes;

template <>
struct Lanes<u64> {
  static constexpr std::size_t kCount = 4;
  static constexpr std::size_t kRows = 2;
  static constexpr std::size_t kVecs = 2;

  struct Factor {
    __m256i word, high;
  };
  static Factor factor(__m256i word) { return {word, _mm256_srli_epi64(word, 32)}; }
  static Factor all(u64 word) { return factor(_mm256_set1_epi64x(static_cast<long long>(word))); }

  // A sum of products whose high halves are still unshifted.
  struct Sum {
    __m256i low = _mm256_setzero_si256();
    __m256i cross = _mm256_setzero_si256();

    void add(const Factor& a, const Factor& b) {
      low = _mm256_add_epi64(low, _mm256_mul_epu32(a.word, b.word));
      const __m256i mixed = _mm256_add_epi64(_mm256_mul_epu32(a.high, b.word), _mm256_mul_epu32(a.word, b.high));
      cross = _mm256_add_epi64(cross, mixed);
    }
    __m256i total() const { return _mm256_add_epi64(low, _mm256_slli_epi64(cross, 32)); }
  };
};

template <>
struct Lanes<u32> {
  static constexpr std::size_t kCount = 8;
  static constexpr std::size_t kRows = 6;
  static constexpr std::size_t kVecs = 2;

  struct Factor {
    __m256i word;
  };
  static Factor factor(__m256i word) { return {word}; }
  static Factor all(u32 word) { return {_mm256_set1_epi32(static_cast<int>(word))}; }

  struct Sum {
    __m256i words = _mm256_setzero_si256();

    void add(const Factor& a, const Factor& b) {
      words = _mm256_add_epi32(words, _mm256_mullo_epi32(a.word, b.word));
    }
    __m256i total() const { return words; }
  };
};

template <class Word, std::size_t Rows, std::size_t Vecs>
void fixed_tile(std::size_t depth, const Word* a, std::size_t a_row, const Word* panel, Word* out) {
  using L = Lanes<Word>;
  typename L::Sum sum[Rows][Vecs];
  for (std::size_t k = 0; k < depth; ++k, panel += Vecs * L::kCount, ++a) {
    typename L::Factor b[Vecs];
#pragma GCC unroll 2
    for (std::size_t v = 0; v < Vecs; ++v) b[v] = L::factor(load(panel + v * L::kCount));
#pragma GCC unroll 6
    for (std::size_t r = 0; r < Rows; ++r) {
      const typename L::Factor scalar = L::all(a[r * a_row]);
#pragma GCC unroll 2
      for (std::size_t v = 0; v < Vecs; ++v) sum[r][v].add(scalar, b[v]);
    }
  }
#pragma GCC unroll 6
  for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
    for (std::size_t v = 0; v < Vecs; ++v) store(out + (r * Vecs + v) * L::kCount, sum[r][v].total());
  }
}

template <class Word, std::size_t Rows>
void rows_tile(std::size_t depth, const Word* a, std::size_t a_row, std::size_t rows, const Word* panel,
               std::size_t vecs, Word* out) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return rows_tile<Word, Rows - 1>(depth, a, a_row, rows, panel, vecs, out);
  }
  (vecs == 2 ? fixed_tile<Word, Rows, 2> : fixed_tile<Word, Rows, 1>)(depth, a, a_row, panel, out);
}

template <class Word, std::size_t Cols>
void row_dot(std::size_t depth, const Word* w, const Word* x, std::size_t x_row, Word* out) {
  using L = Lanes<Word>;
  typename L::Sum sum[Cols];
  std::size_t k = 0;
  for (; k + L::kCount <= depth; k += L::kCount) {
    const typename L::Factor ws = L::factor(load(w + k));
    for (std::size_t c = 0; c < Cols; ++c) sum[c].add(ws, L::factor(load(x + c * x_row + k)));
  }
  for (std::size_t c = 0; c < Cols; ++c) {
    Word part[L::kCount];
    store(part, sum[c].total());
    out[c] = 0;
    for (const Word word : part) out[c] += word;
    for (std::size_t i = k; i < depth; ++i) out[c] += w[i] * x[c * x_row + i];
  }
}

template <class Word>
void dot(std::size_t depth, const Word* w, std::size_t w_row, std::size_t rows, const Word* x, std::size_t x_row,
         std::size_t cols, Word* out) {
  for (std::size_t r = 0; r < rows; ++r, w += w_row, out += cols) {
    switch (cols) {
      case 1: row_dot<Word, 1>(depth, w, x, x_row, out); break;
      case 2: row_dot<Word, 2>(depth, w, x, x_row, out); break;
      case 3: row_dot<Word, 3>(depth, w, x, x_row, out); break;
      default: row_dot<Word, 4>(depth, w, x, x_row, out); break;
    }
  }
}

template <class Word>
constexpr ProductKernels<Word> products() {
  using L = Lanes<Word>;
  return table<Word>({L::kCount, L::kRows, L::kVecs}, rows_tile<Word, L::kRows>, dot<Word>);
}

}  // namespace

const RingKernels& ring_avx2() {
  static constexpr RingKernels kernels{products<u64>(), products<u32>(), add, sub, scale};
  return kernels;
}

}  // namespace tacit
