#include "ring/conv.h"

#include <new>

#include "ring/product.h"

namespace tacit {
namespace {

constexpr std::size_t kLargest = std::size_t{1} << 31;

// The images in the product's words, with their zero border in place.
template <class Word>
struct Padded {
  const Word* data;
  Buffer<Word> owned;
  std::size_t height, width, plane, image;
};

template <class Word>
Status pad(const ProductKernels<Word>& kernels, const ConvShape& s, const u64* x, Padded<Word>& out) {
  out.height = s.height + 2 * static_cast<std::size_t>(s.padding_h);
  out.width = s.width + 2 * static_cast<std::size_t>(s.padding_w);
  out.plane = out.height * out.width;
  out.image = out.plane * s.channels;
  if constexpr (sizeof(Word) == sizeof(u64)) {
    out.data = x;
    if (s.padding_h == 0 && s.padding_w == 0) return ok();
  }
  std::size_t words = 0;
  if (!product({s.batch, s.channels, out.height, out.width}, words)) return no_memory();
  out.owned = allocate<Word>(words);
  if (!out.owned) return no_memory();
  out.data = out.owned.get();
  Word* to = out.owned.get();
  const std::size_t top = static_cast<std::size_t>(s.padding_h) * out.width;
  const auto side = static_cast<std::size_t>(s.padding_w);
  for (std::size_t i = 0; i < s.batch * s.channels; ++i, to += out.plane) {
    std::fill_n(to, top, Word{0});
    for (std::size_t h = 0; h < s.height; ++h) {
      Word* row = to + top + h * out.width;
      std::fill_n(row, side, Word{0});
      kernels.take(1, x + (i * s.height + h) * s.width, 0, s.width, out.width - side, row + side);
    }
    std::fill_n(to + top + s.height * out.width, top, Word{0});
  }
  return ok();
}

// The right operand of a convolution: row k is a tap, column n an output pixel of the whole batch.
template <class Word>
class Pixels {
 public:
  Pixels(const ConvShape& s, const Padded<Word>& images) : s_(s), images_(images) {
    taps_.reserve(s.group_channels * s.kernel_h * s.kernel_w);
    for (std::size_t c = 0; c < s.group_channels; ++c) {
      for (std::size_t h = 0; h < s.kernel_h; ++h) {
        for (std::size_t w = 0; w < s.kernel_w; ++w) {
          taps_.push_back(c * images.plane + h * static_cast<std::size_t>(s.dilation_h) * images.width +
                          w * static_cast<std::size_t>(s.dilation_w));
        }
      }
    }
  }

  // Where the window of output pixel n starts in the padded images of group 0.
  std::size_t window(std::size_t n) const {
    const std::size_t pixels = s_.out_h * s_.out_w;
    const std::size_t at = n % pixels;
    return n / pixels * images_.image + at / s_.out_w * static_cast<std::size_t>(s_.stride_h) * images_.width +
           at % s_.out_w * static_cast<std::size_t>(s_.stride_w);
  }

  void pack(const ProductKernels<Word>& kernels, std::size_t group, std::size_t k0, std::size_t depth,
            std::size_t col0, std::size_t cols, std::size_t width, Word* dst) const {
    Run runs[kWidest];
    std::size_t count = 0;
    for (std::size_t j = 0; j < cols; ++j) {
      const std::size_t src = window(col0 + j);
      if (count > 0 && runs[count - 1].src + runs[count - 1].len == src) {
        ++runs[count - 1].len;
      } else {
        runs[count++] = {j, src, 1};
      }
    }
    const Word* base = images_.data + group * s_.group_channels * images_.plane;
    kernels.gather(depth, base, taps_.data() + k0, runs, count, width, dst);
  }

  // One column in full: the window of pixel n, for products too thin to fill a vector with pixels.
  void column(std::size_t group, std::size_t n, Word* dst) const {
    const Word* base = images_.data + group * s_.group_channels * images_.plane + window(n);
    for (std::size_t tap : taps_) *dst++ = base[tap];
  }

  std::size_t depth() const { return taps_.size(); }

 private:
  static constexpr std::size_t kWidest = 32;

  const ConvShape& s_;
  const Padded<Word>& images_;
  std::vector<std::size_t> taps_;
};

double macs(const ConvShape& s) {
  return static_cast<double>(s.batch * s.out_h * s.out_w) * static_cast<double>(s.outputs) *
         static_cast<double>(s.group_channels * s.kernel_h * s.kernel_w);
}

// At most 4 output pixels in the whole batch: dot products that stream the weights once.
template <class Word>
Status thin(const ProductKernels<Word>& kernels, int threads, const ConvShape& s, const Pixels<Word>& pixels,
            const Word* w, const u64* init, u64* out) {
  const std::size_t depth = pixels.depth();
  const std::size_t plane = s.out_h * s.out_w;
  const std::size_t cols = s.batch * plane;
  const auto groups = static_cast<std::size_t>(s.groups);
  const std::size_t each = s.outputs / groups;
  const Buffer<Word> windows = allocate<Word>(groups * cols * depth);
  if (!windows) return no_memory();
  for (std::size_t i = 0; i < groups * cols; ++i) pixels.column(i / cols, i % cols, windows.get() + i * depth);
  share(workers_for(threads, s.outputs, macs(s) * 0.2), s.outputs,
        [&](int, std::size_t begin, std::size_t end) {
          Word sums[kDotRows * kDotCols];
          std::size_t o = begin;
          while (o < end) {
            const std::size_t rows = std::min({kDotRows, end - o, each - o % each});
            kernels.dot(depth, w + o * depth, depth, rows, windows.get() + o / each * cols * depth, depth, cols, sums);
            for (std::size_t i = 0; i < rows * cols; ++i) {
              const std::size_t col = i % cols;
              const std::size_t to = (col / plane * s.outputs + o + i / cols) * plane + col % plane;
              out[to] = static_cast<Word>(sums[i] + (init == nullptr ? 0 : init[to]));
            }
            o += rows;
          }
        });
  return ok();
}

// One output plane of a grouped convolution, tap by tap.
template <class Word>
void plane_by_taps(const ProductKernels<Word>& kernels, const ConvShape& s, const Padded<Word>& images, const Word* x,
                   const Word* w, Word* out) {
  for (std::size_t tap = 0; tap < s.group_channels * s.kernel_h * s.kernel_w; ++tap) {
    const std::size_t kw = tap % s.kernel_w;
    const std::size_t kh = tap / s.kernel_w % s.kernel_h;
    const Word* from = x + tap / (s.kernel_w * s.kernel_h) * images.plane +
                      kh * static_cast<std::size_t>(s.dilation_h) * images.width +
                      kw * static_cast<std::size_t>(s.dilation_w);
    for (std::size_t h = 0; h < s.out_h; ++h) {
      kernels.axpy(s.out_w, w[tap], from + h * static_cast<std::size_t>(s.stride_h) * images.width,
                   static_cast<std::size_t>(s.stride_w), out + h * s.out_w);
    }
  }
}

// Depthwise-like shapes, one or two outputs per group: packing would cost more than the product.
template <class Word>
Status narrow(const ProductKernels<Word>& kernels, int threads, const ConvShape& s, const Padded<Word>& images,
              const Word* w, const u64* init, u64* out) {
  const std::size_t plane = s.out_h * s.out_w;
  const std::size_t depth = s.group_channels * s.kernel_h * s.kernel_w;
  const std::size_t each = s.outputs / static_cast<std::size_t>(s.groups);
  const int workers = workers_for(threads, s.batch * s.outputs, macs(s) * 0.3);
  const Buffer<Word> sums = allocate<Word>(static_cast<std::size_t>(workers) * plane);
  if (!sums) return no_memory();
  share(workers, s.batch * s.outputs, [&](int worker, std::size_t begin, std::size_t end) {
    Word* const sum = sums.get() + static_cast<std::size_t>(worker) * plane;
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t o = i % s.outputs;
      const Word* x = images.data + i / s.outputs * images.image + o / each * s.group_channels * images.plane;
      std::fill_n(sum, plane, Word{0});
      plane_by_taps(kernels, s, images, x, w + o * depth, sum);
      kernels.put(plane, sum, init == nullptr ? nullptr : init + i * plane, false, out + i * plane);
    }
  });
  return ok();
}

Status check_axis(const char* axis, std::size_t size, std::size_t kernel, i64 stride, i64 padding, i64 dilation,
                  std::size_t& out) {
  const std::string of = std::string(" of the ") + axis + " axis ";
  if (stride < 1 || stride >= static_cast<i64>(kLargest))
    return invalid("stride" + of + "must be 1 or more, and below 2^31");
  if (dilation < 1 || dilation >= static_cast<i64>(kLargest))
    return invalid("dilation" + of + "must be 1 or more, and below 2^31");
  if (padding < 0 || padding >= static_cast<i64>(kLargest))
    return invalid("padding" + of + "must be 0 or more, and below 2^31");
  if (size >= kLargest || kernel >= kLargest) return invalid("sizes" + of + "must be below 2^31");
  if (kernel == 0) return invalid("the kernel" + of + "must not be empty");
  const std::size_t reach = static_cast<std::size_t>(dilation) * (kernel - 1) + 1;
  const std::size_t padded = size + 2 * static_cast<std::size_t>(padding);
  if (reach > padded) return invalid("the kernel" + of + "reaches beyond the padded input");
  out = (padded - reach) / static_cast<std::size_t>(stride) + 1;
  return ok();
}

}  // namespace

Status check_conv(ConvShape& s) {
  if (s.groups < 1) return invalid("groups must be 1 or more");
  const auto groups = static_cast<std::size_t>(s.groups);
  if (s.outputs % groups != 0) return invalid("groups must divide the output channels");
  if (s.channels % groups != 0 || s.channels / groups != s.group_channels) {
    return invalid("x must have groups times as many channels as w");
  }
  if (Status bad = check_axis("height", s.height, s.kernel_h, s.stride_h, s.padding_h, s.dilation_h, s.out_h); !bad)
    return bad;
  if (Status bad = check_axis("width", s.width, s.kernel_w, s.stride_w, s.padding_w, s.dilation_w, s.out_w); !bad)
    return bad;
  std::size_t words = 0;
  if (!product({s.batch, s.outputs, s.out_h, s.out_w}, words))
    return invalid("the result would have too many elements");
  return ok();
}

template <class Word>
Status conv2d(Tier tier, int threads, const ConvShape& s, const u64* x, const Word* w, const u64* init, u64* out) {
  if (s.batch == 0 || s.outputs == 0) return ok();
  const ProductKernels<Word>& kernels = product_kernels<Word>(tier);
  Padded<Word> images{};
  if (Status bad = pad(kernels, s, x, images); !bad) return bad;
  try {
    const Pixels<Word> pixels(s, images);
    const auto groups = static_cast<std::size_t>(s.groups);
    const std::size_t plane = s.out_h * s.out_w;
    const std::size_t rows = s.outputs / groups;
    if (s.batch * plane <= kDotCols) return thin(kernels, threads, s, pixels, w, init, out);
    if (rows <= 2) return narrow(kernels, threads, s, images, w, init, out);
    const Product<Word> p{
        rows, s.batch * plane, pixels.depth(), groups, w, init, out, rows * plane, {plane, plane, s.outputs * plane}};
    return run_product(p, kernels, pixels, threads);
  } catch (const std::bad_alloc&) {
    return no_memory();
  }
}

template Status conv2d(Tier, int, const ConvShape&, const u64*, const u64*, const u64*, u64*);
template Status conv2d(Tier, int, const ConvShape&, const u64*, const u32*, const u64*, u64*);

}  // namespace tacit
