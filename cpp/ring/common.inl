// Loops that only need the compiler's vectoriser. Each tier includes this inside its own unnamed namespace, so that no
// tier's code can be linked into another's: never call an inline library function from here.

void add(std::size_t n, const u64* __restrict a, const u64* __restrict b, u64* __restrict out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = a[i] + b[i];
}

void sub(std::size_t n, const u64* __restrict a, const u64* __restrict b, u64* __restrict out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = a[i] - b[i];
}

void scale(std::size_t n, const u64* __restrict a, u64 s, u64* __restrict out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = a[i] * s;
}

template <class Word>
void axpy(std::size_t n, Word w, const Word* __restrict x, std::size_t step, Word* __restrict out) {
  if (step == 1) {
    for (std::size_t i = 0; i < n; ++i) out[i] += w * x[i];
    return;
  }
  for (std::size_t i = 0; i < n; ++i) out[i] += w * x[i * step];
}

template <class Word, class Source>
void copy(std::size_t depth, const Source* __restrict src, std::size_t src_row, std::size_t cols, std::size_t width,
          Word* __restrict dst) {
  for (std::size_t k = 0; k < depth; ++k, src += src_row, dst += width) {
    for (std::size_t j = 0; j < cols; ++j) dst[j] = static_cast<Word>(src[j]);
    for (std::size_t j = cols; j < width; ++j) dst[j] = 0;
  }
}

template <class Word>
void put(std::size_t n, const Word* __restrict tile, const u64* __restrict init, bool accumulate, u64* __restrict out) {
  if (accumulate) {
    for (std::size_t j = 0; j < n; ++j) out[j] = static_cast<Word>(out[j] + tile[j]);
  } else if (init != nullptr) {
    for (std::size_t j = 0; j < n; ++j) out[j] = static_cast<Word>(init[j] + tile[j]);
  } else {
    for (std::size_t j = 0; j < n; ++j) out[j] = tile[j];
  }
}

template <class Word>
void gather(std::size_t depth, const Word* __restrict x, const std::size_t* __restrict offset, const Run* runs,
            std::size_t count, std::size_t width, Word* __restrict panel) {
  std::size_t covered = 0;
  for (std::size_t r = 0; r < count; ++r) covered += runs[r].len;
  for (std::size_t k = 0; k < depth; ++k, panel += width) {
    const Word* from = x + offset[k];
    for (std::size_t r = 0; r < count; ++r) {
      const Word* src = from + runs[r].src;
      Word* dst = panel + runs[r].dst;
      for (std::size_t j = 0; j < runs[r].len; ++j) dst[j] = src[j];
    }
    for (std::size_t j = covered; j < width; ++j) panel[j] = 0;
  }
}

// The table of a tier: its own loops over registers, and those above.
template <class Word>
constexpr ProductKernels<Word> table(TileShape shape, decltype(ProductKernels<Word>::tile) tile,
                                     decltype(ProductKernels<Word>::dot) dot) {
  return {shape, tile, dot, gather<Word>, copy<Word, Word>, copy<Word, u64>, put<Word>, axpy<Word>};
}
