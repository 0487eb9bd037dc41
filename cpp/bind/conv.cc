#include "ring/conv.h"

#include <nanobind/stl/pair.h>
#include <nanobind/stl/string_view.h>

#include "bind/arrays.h"

namespace tacit::bind {
namespace {

using Pair = std::pair<i64, i64>;

struct Options {
  Pair stride, padding, dilation;
  i64 groups;
  int threads;
  std::string_view tier;
};

template <class Word>
nb::object convolve(nb::handle x_, const Array<Word>& w, const nb::object& init_, const Options& o) {
  const auto x = take<u64>(x_, "x", 4);
  check_threads(o.threads);
  const Tier tier = take_tier(o.tier);
  ConvShape s{x.shape[0],      x.shape[1],       x.shape[2],       x.shape[3],        w.shape[0],
              w.shape[1],      w.shape[2],       w.shape[3],       o.stride.first,    o.stride.second,
              o.padding.first, o.padding.second, o.dilation.first, o.dilation.second, o.groups};
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
    status = conv2d(tier, o.threads, s, x.data, w.data, init.data, out.get());
  }
  check(status);
  return to_numpy(std::move(out), shape);
}

nb::object conv2d_of(nb::handle x, nb::handle w, nb::object init, Pair stride, Pair padding, Pair dilation, i64 groups,
                     int threads, std::string_view tier) {
  const Options options{stride, padding, dilation, groups, threads, tier};
  return by_width(w, "w", 4, [&](const auto& words) { return convolve(x, words, init, options); });
}

}  // namespace

void bind_conv(nb::module_& m) {
  m.def("conv2d", conv2d_of, nb::arg("x"), nb::arg("w"), nb::arg("init").none() = nb::none(),
        nb::arg("stride") = Pair{1, 1}, nb::arg("padding") = Pair{0, 0}, nb::arg("dilation") = Pair{1, 1},
        nb::arg("groups") = 1, nb::kw_only(), nb::arg("threads") = 1, nb::arg("tier") = "");
}

}  // namespace tacit::bind
