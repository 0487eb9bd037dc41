#include <nanobind/stl/string_view.h>

#include "bind/arrays.h"
#include "ring/dense.h"
#include "ring/pack.h"

namespace tacit::bind {
namespace {

template <class Word>
nb::object multiply(const Array<Word>& a, nb::handle b_, int threads, std::string_view tier_) {
  const auto b = take<u64>(b_, "b", 2);
  check_threads(threads);
  const Tier tier = take_tier(tier_);
  if (a.shape[1] != b.shape[0]) throw nb::value_error("a must have as many columns as b has rows");
  const std::vector<std::size_t> shape{a.shape[0], b.shape[1]};
  Words out = new_words(shape);
  Status status;
  {
    nb::gil_scoped_release release;
    status = matmul(tier, threads, shape[0], a.shape[1], shape[1], a.data, b.data, out.get());
  }
  check(status);
  return to_numpy(std::move(out), shape);
}

nb::object matmul_of(nb::handle a, nb::handle b, int threads, std::string_view tier) {
  return by_width(a, "a", 2, [&](const auto& words) { return multiply(words, b, threads, tier); });
}

template <class Word>
nb::object apply(nb::handle x_, const Array<Word>& w, const nb::object& init_, int threads, std::string_view tier_) {
  const auto x = take<u64>(x_, "x", 2);
  check_threads(threads);
  const Tier tier = take_tier(tier_);
  if (x.shape[1] != w.shape[1]) throw nb::value_error("x and w must have the same number of inputs");
  const std::vector<std::size_t> shape{x.shape[0], w.shape[0]};
  Array<u64> init{};
  if (!init_.is_none()) {
    init = take<u64>(init_, "init", 2);
    same_shape(init.shape, shape, "init");
  }
  Words out = new_words(shape);
  Status status;
  {
    nb::gil_scoped_release release;
    status = linear(tier, threads, shape[0], x.shape[1], shape[1], x.data, w.data, init.data, out.get());
  }
  check(status);
  return to_numpy(std::move(out), shape);
}

nb::object linear_of(nb::handle x, nb::handle w, nb::object init, int threads, std::string_view tier) {
  return by_width(w, "w", 2, [&](const auto& words) { return apply(x, words, init, threads, tier); });
}

template <auto Kernel>
nb::object pairwise(nb::handle a_, nb::handle b_, int threads, std::string_view tier_) {
  const auto a = take<u64>(a_, "a", kAnyRank);
  const auto b = take<u64>(b_, "b", kAnyRank);
  check_threads(threads);
  const Tier tier = take_tier(tier_);
  same_shape(b.shape, a.shape, "b");
  Words out = new_words(a.shape);
  {
    nb::gil_scoped_release release;
    Kernel(tier, threads, a.size, a.data, b.data, out.get());
  }
  return to_numpy(std::move(out), a.shape);
}

nb::object scale_of(nb::handle a_, i64 s, int threads, std::string_view tier_) {
  const auto a = take<u64>(a_, "a", kAnyRank);
  check_threads(threads);
  const Tier tier = take_tier(tier_);
  Words out = new_words(a.shape);
  {
    nb::gil_scoped_release release;
    scale(tier, threads, a.size, a.data, static_cast<u64>(s), out.get());
  }
  return to_numpy(std::move(out), a.shape);
}

nb::object pack_of(nb::handle values_, i64 bits, int threads, std::string_view tier_) {
  const auto values = take<u64>(values_, "values", 1);
  check_threads(threads);
  static_cast<void>(take_tier(tier_));
  std::size_t size = 0;
  check(packed_bytes(values.size, bits, size));
  Bytes out = allocate_bytes(size);
  if (!out) throw std::bad_alloc();
  {
    nb::gil_scoped_release release;
    pack(threads, values.size, static_cast<unsigned>(bits), values.data, out.get());
  }
  return to_numpy(std::move(out), size);
}

nb::object unpack_of(nb::handle data_, i64 bits, std::size_t count, int threads, std::string_view tier_) {
  const auto data = take<u8>(data_, "data", 1);
  check_threads(threads);
  static_cast<void>(take_tier(tier_));
  std::size_t size = 0;
  check(packed_bytes(count, bits, size));
  if (data.size != size) {
    throw nb::value_error(
        ("data must be " + std::to_string(size) + " bytes, not " + std::to_string(data.size)).c_str());
  }
  Words out = new_words({count});
  Status status;
  {
    nb::gil_scoped_release release;
    status = unpack(threads, count, static_cast<unsigned>(bits), data.data, size, out.get());
  }
  check(status);
  return to_numpy(std::move(out), {count});
}

}  // namespace

void bind_ring(nb::module_& m) {
  const auto threads = nb::arg("threads") = 1;
  const auto tier = nb::arg("tier") = "";
  m.def("matmul", matmul_of, nb::arg("a"), nb::arg("b"), nb::kw_only(), threads, tier);
  m.def("linear", linear_of, nb::arg("x"), nb::arg("w"), nb::arg("init").none() = nb::none(), nb::kw_only(), threads,
        tier);
  m.def("add", pairwise<add>, nb::arg("a"), nb::arg("b"), nb::kw_only(), threads, tier);
  m.def("sub", pairwise<sub>, nb::arg("a"), nb::arg("b"), nb::kw_only(), threads, tier);
  m.def("scale", scale_of, nb::arg("a"), nb::arg("s"), nb::kw_only(), threads, tier);
  m.def("pack", pack_of, nb::arg("values"), nb::arg("bits"), nb::kw_only(), threads, tier);
  m.def("unpack", unpack_of, nb::arg("data"), nb::arg("bits"), nb::arg("count"), nb::kw_only(), threads, tier);
}

}  // namespace tacit::bind
