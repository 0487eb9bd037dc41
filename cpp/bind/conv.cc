#include "ring/conv.h"

#include <nanobind/stl/pair.h>
#include <nanobind/stl/string_view.h>

#include "bind/arrays.h"

namespace tacit::bind {
namespace {

using Pair = std::pair<i64, i64>;

nb::object conv2d_of(nb::handle x_, nb::handle w_, nb::object init_, Pair stride, Pair padding, Pair dilation,
                     i64 groups, int threads, std::string_view tier_) {
  const auto x = take<u64>(x_, "x", 4);
  const auto w = take<u64>(w_, "w", 4);
  check_threads(threads);
  const Tier tier = take_tier(tier_);
  ConvShape s{x.shape[0],    x.shape[1],     x.shape[2],     x.shape[3],      w.shape[0],
              w.shape[1],    w.shape[2],     w.shape[3],     stride.first,    stride.second,
              padding.first, padding.second, dilation.first, dilation.second, groups};
  check(check_conv(s));
  const std::vector<std::size_t> shape{s.batch, s.outputs, s.out_h, s.out_w};
  Array<u64> init{};
  if (!init_.is_none()) {
    init = take<u64>(init_, "init", 4);
    same_shape(init.shape, shape, "init");
  }
  Words out = new_words(shape);
  Status status;
  {
    nb::gil_scoped_release release;
    status = conv2d(tier, threads, s, x.data, w.data, init.data, out.get());
  }
  check(status);
  return to_numpy(std::move(out), shape);
}

}  // namespace

void bind_conv(nb::module_& m) {
  m.def("conv2d", conv2d_of, nb::arg("x"), nb::arg("w"), nb::arg("init").none() = nb::none(),
        nb::arg("stride") = Pair{1, 1}, nb::arg("padding") = Pair{0, 0}, nb::arg("dilation") = Pair{1, 1},
        nb::arg("groups") = 1, nb::kw_only(), nb::arg("threads") = 1, nb::arg("tier") = "");
}

}  // namespace tacit::bind
