#include "ring/dense.h"

#include "ring/product.h"

namespace tacit {
namespace {

// The right operand as a matrix of rows of `cols` words.
struct Matrix {
  const u64* data;
  std::size_t cols;

  template <class Word>
  void pack(const ProductKernels<Word>& kernels, std::size_t, std::size_t k0, std::size_t depth, std::size_t col0,
            std::size_t count, std::size_t width, Word* dst) const {
    kernels.take(depth, data + k0 * cols + col0, cols, count, width, dst);
  }
};

// out[cols][rows] = in[rows][cols]^T + init, square by square of a cache line; as sums of the product's words.
template <class Word>
void transpose(std::size_t rows, std::size_t cols, const u64* in, const u64* init, u64* out) {
  constexpr std::size_t kSide = 8;
  for (std::size_t r0 = 0; r0 < rows; r0 += kSide) {
    const std::size_t r1 = std::min(r0 + kSide, rows);
    for (std::size_t c = 0; c < cols; ++c) {
      for (std::size_t r = r0; r < r1; ++r) {
        out[c * rows + r] = static_cast<Word>(in[r * cols + c] + (init == nullptr ? 0 : init[c * rows + r]));
      }
    }
  }
}

// A few inputs against many weights: memory-bound, so each weight is read once and nothing is packed.
template <class Word>
Status thin(const ProductKernels<Word>& kernels, int threads, std::size_t batch, std::size_t inputs,
            std::size_t outputs, const u64* x, const Word* w, const u64* init, u64* out) {
  const Buffer<Word> rows_of_x = allocate<Word>(batch * inputs);
  if (!rows_of_x) return no_memory();
  kernels.take(1, x, 0, batch * inputs, batch * inputs, rows_of_x.get());
  const double ns = static_cast<double>(inputs) * static_cast<double>(outputs) * 0.5;
  share(workers_for(threads, outputs, ns), outputs, [&](int, std::size_t begin, std::size_t end) {
    Word sums[kDotRows * kDotCols];
    for (std::size_t o = begin; o < end; o += kDotRows) {
      const std::size_t rows = std::min(kDotRows, end - o);
      kernels.dot(inputs, w + o * inputs, inputs, rows, rows_of_x.get(), inputs, batch, sums);
      for (std::size_t i = 0; i < rows * batch; ++i) {
        const std::size_t to = i % batch * outputs + o + i / batch;
        out[to] = static_cast<Word>(sums[i] + (init == nullptr ? 0 : init[to]));
      }
    }
  });
  return ok();
}

template <class Run>
void elementwise(int threads, std::size_t n, const Run& run) {
  share(workers_for(threads, n, static_cast<double>(n)), n,
        [&](int, std::size_t begin, std::size_t end) { run(begin, end - begin); });
}

}  // namespace

template <class Word>
Status matmul(Tier tier, int threads, std::size_t rows, std::size_t depth, std::size_t cols, const Word* a,
              const u64* b, u64* out) {
  const Product<Word> p{rows, cols, depth, 1, a, nullptr, out, 0, {cols, std::max(cols, std::size_t{1}), 0}};
  return run_product(p, product_kernels<Word>(tier), Matrix{b, cols}, threads);
}

template <class Word>
Status linear(Tier tier, int threads, std::size_t batch, std::size_t inputs, std::size_t outputs, const u64* x,
              const Word* w, const u64* init, u64* out) {
  const ProductKernels<Word>& kernels = product_kernels<Word>(tier);
  if (batch == 0 || outputs == 0) return ok();
  if (batch <= kDotCols) return thin(kernels, threads, batch, inputs, outputs, x, w, init, out);
  // Vector lanes run over the batch, so both the inputs and the result are turned.
  std::size_t turned = 0;
  if (!product({batch, inputs + outputs}, turned)) return no_memory();
  const Words columns = allocate_words(turned);
  if (!columns) return no_memory();
  u64* const result = columns.get() + batch * inputs;
  transpose<u64>(batch, inputs, x, nullptr, columns.get());
  const Product<Word> p{outputs, batch, inputs, 1, w, nullptr, result, 0, {batch, batch, 0}};
  if (Status bad = run_product(p, kernels, Matrix{columns.get(), batch}, threads); !bad) return bad;
  transpose<Word>(outputs, batch, result, init, out);
  return ok();
}

template Status matmul(Tier, int, std::size_t, std::size_t, std::size_t, const u64*, const u64*, u64*);
template Status matmul(Tier, int, std::size_t, std::size_t, std::size_t, const u32*, const u64*, u64*);
template Status linear(Tier, int, std::size_t, std::size_t, std::size_t, const u64*, const u64*, const u64*, u64*);
template Status linear(Tier, int, std::size_t, std::size_t, std::size_t, const u64*, const u32*, const u64*, u64*);

void add(Tier tier, int threads, std::size_t n, const u64* a, const u64* b, u64* out) {
  elementwise(threads, n,
              [&](std::size_t i, std::size_t count) { ring_kernels(tier).add(count, a + i, b + i, out + i); });
}

void sub(Tier tier, int threads, std::size_t n, const u64* a, const u64* b, u64* out) {
  elementwise(threads, n,
              [&](std::size_t i, std::size_t count) { ring_kernels(tier).sub(count, a + i, b + i, out + i); });
}

void scale(Tier tier, int threads, std::size_t n, const u64* a, u64 s, u64* out) {
  elementwise(threads, n,
              [&](std::size_t i, std::size_t count) { ring_kernels(tier).scale(count, a + i, s, out + i); });
}

}  // namespace tacit
