#include "ring/conv.h"

#include <cstring>
#include <new>

#include "ring/product.h"

namespace tacit {
namespace {

constexpr std::size_t kLargest = std::size_t{1} << 31;
// The images with their zero border in place.
struct Padded {
  const u64* data;
  Words owned;
  std::size_t height, width, plane, image;
};

Status pad(const ConvShape& s, const u64* x, Padded& out) {
  out.height = s.height + 2 * static_cast<std::size_t>(s.padding_h);
  out.width = s.width + 2 * static_cast<std::size_t>(s.padding_w);
  out.plane = out.height * out.width;
  out.image = out.plane * s.channels;
  out.data = x;
  if (s.padding_h == 0 && s.padding_w == 0) return ok();
  std::size_t words = 0;
  if (!product({s.batch, s.channels, out.height, out.width}, words)) return no_memory();
  out.owned = allocate_words(words);
  if (!out.owned) return no_memory();
  out.data = out.owned.get();
  u64* to = out.owned.get();
  const std::size_t top = static_cast<std::size_t>(s.padding_h) * out.width;
  const auto side = static_cast<std::size_t>(s.padding_w);
  for (std::size_t i = 0; i < s.batch * s.channels; ++i, to += out.plane) {
    std::memset(to, 0, top * sizeof(u64));
    for (std::size_t h = 0; h < s.height; ++h) {
      u64* row = to + top + h * out.width;
      std::memset(row, 0, side * sizeof(u64));
      std::memcpy(row + side, x + (i * s.height + h) * s.width, s.width * sizeof(u64));
      std::memset(row + side + s.width, 0, side * sizeof(u64));
    }
    std::memset(to + top + s.height * out.width, 0, top * sizeof(u64));
  }
  return ok();
}

// The right operand of a convolution: row k is a tap, column n an output pixel of the whole batch.
class Pixels {
 public:
  Pixels(const ConvShape& s, const Padded& images) : s_(s), images_(images) {
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

  void pack(const RingKernels& kernels, std::size_t group, std::size_t k0, std::size_t depth, std::size_t col0,
            std::size_t cols, std::size_t width, u64* dst) const {
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
    const u64* base = images_.data + group * s_.group_channels * images_.plane;
    kernels.gather(depth, base, taps_.data() + k0, runs, count, width, dst);
  }

  // One column in full: the window of pixel n, for products too thin to fill a vector with pixels.
  void column(std::size_t group, std::size_t n, u64* dst) const {
    const u64* base = images_.data + group * s_.group_channels * images_.plane + window(n);
    for (std::size_t tap : taps_) *dst++ = base[tap];
  }

  std::size_t depth() const { return taps_.size(); }

 private:
  static constexpr std::size_t kWidest = 32;

  const ConvShape& s_;
  const Padded& images_;
  std::vector<std::size_t> taps_;
};

double macs(const ConvShape& s, const Pixels& pixels) {
  return static_cast<double>(s.batch * s.out_h * s.out_w) * static_cast<double>(s.outputs) *
         static_cast<double>(pixels.depth());
}

// At most 4 output pixels in the whole batch: dot products that stream the weights once.
Status thin(const RingKernels& kernels, int threads, const ConvShape& s, const Pixels& pixels, const u64* w,
            const u64* init, u64* out) {
  const std::size_t depth = pixels.depth();
  const std::size_t plane = s.out_h * s.out_w;
  const std::size_t cols = s.batch * plane;
  const auto groups = static_cast<std::size_t>(s.groups);
  const std::size_t each = s.outputs / groups;
  const Words windows = allocate_words(groups * cols * depth);
  if (!windows) return no_memory();
  for (std::size_t i = 0; i < groups * cols; ++i) pixels.column(i / cols, i % cols, windows.get() + i * depth);
  share(workers_for(threads, s.outputs, macs(s, pixels) * 0.2), s.outputs,
        [&](int, std::size_t begin, std::size_t end) {
          u64 sums[kDotRows * kDotCols];
          std::size_t o = begin;
          while (o < end) {
            const std::size_t rows = std::min({kDotRows, end - o, each - o % each});
            kernels.dot(depth, w + o * depth, depth, rows, windows.get() + o / each * cols * depth, depth, cols, sums);
            for (std::size_t i = 0; i < rows * cols; ++i) {
              const std::size_t col = i % cols;
              const std::size_t to = (col / plane * s.outputs + o + i / cols) * plane + col % plane;
              out[to] = sums[i] + (init == nullptr ? 0 : init[to]);
            }
            o += rows;
          }
        });
  return ok();
}

// One output plane of a grouped convolution, tap by tap.
void plane_by_taps(const RingKernels& kernels, const ConvShape& s, const Padded& images, const u64* x, const u64* w,
                   u64* out) {
  for (std::size_t tap = 0; tap < s.group_channels * s.kernel_h * s.kernel_w; ++tap) {
    const std::size_t kw = tap % s.kernel_w;
    const std::size_t kh = tap / s.kernel_w % s.kernel_h;
    const u64* from = x + tap / (s.kernel_w * s.kernel_h) * images.plane +
                      kh * static_cast<std::size_t>(s.dilation_h) * images.width +
                      kw * static_cast<std::size_t>(s.dilation_w);
    for (std::size_t h = 0; h < s.out_h; ++h) {
      kernels.axpy(s.out_w, w[tap], from + h * static_cast<std::size_t>(s.stride_h) * images.width,
                   static_cast<std::size_t>(s.stride_w), out + h * s.out_w);
    }
  }
}

// Depthwise-like shapes, one or two outputs per group: packing would cost more than the product.
void narrow(const RingKernels& kernels, int threads, const ConvShape& s, const Padded& images, const Pixels& pixels,
            const u64* w, const u64* init, u64* out) {
  const std::size_t plane = s.out_h * s.out_w;
  const std::size_t each = s.outputs / static_cast<std::size_t>(s.groups);
  share(workers_for(threads, s.batch * s.outputs, macs(s, pixels) * 0.3), s.batch * s.outputs,
        [&](int, std::size_t begin, std::size_t end) {
          for (std::size_t i = begin; i < end; ++i) {
            const std::size_t o = i % s.outputs;
            u64* to = out + i * plane;
            if (init == nullptr) {
              std::memset(to, 0, plane * sizeof(u64));
            } else {
              std::memcpy(to, init + i * plane, plane * sizeof(u64));
            }
            const u64* x = images.data + i / s.outputs * images.image + o / each * s.group_channels * images.plane;
            plane_by_taps(kernels, s, images, x, w + o * pixels.depth(), to);
          }
        });
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

Status conv2d(Tier tier, int threads, const ConvShape& s, const u64* x, const u64* w, const u64* init, u64* out) {
  if (s.batch == 0 || s.outputs == 0) return ok();
  const RingKernels& kernels = ring_kernels(tier);
  Padded images{};
  if (Status bad = pad(s, x, images); !bad) return bad;
  try {
    const Pixels pixels(s, images);
    const auto groups = static_cast<std::size_t>(s.groups);
    const std::size_t plane = s.out_h * s.out_w;
    const std::size_t rows = s.outputs / groups;
    if (s.batch * plane <= kDotCols) return thin(kernels, threads, s, pixels, w, init, out);
    if (rows <= 2) {
      narrow(kernels, threads, s, images, pixels, w, init, out);
      return ok();
    }
    const Product p{
        rows, s.batch * plane, pixels.depth(), groups, w, init, out, rows * plane, {plane, plane, s.outputs * plane}};
    return run_product(p, kernels, pixels, threads);
  } catch (const std::bad_alloc&) {
    return no_memory();
  }
}

}  // namespace tacit
