#include <nanobind/stl/string_view.h>

#include "bind/arrays.h"
#include "fss/dpf.h"
#include "fss/spline.h"

namespace tacit::bind {
namespace {

SplineShape shape_of(i64 k, i64 p, i64 degree, i64 knots, i64 bytes) {
  const SplineShape shape{k, p, degree, knots, bytes};
  check(check_spline(shape));
  return shape;
}

Array<u64> take_coeffs(nb::handle object) {
  auto coeffs = take<u64>(object, "coeffs", 2);
  if (coeffs.size == 0) throw nb::value_error("coeffs must not be empty");
  for (std::size_t i = 0; i < coeffs.size; ++i) {
    if ((coeffs.data[i] + (u64{1} << 62)) >> 63 != 0) throw nb::value_error("coeffs must be of 63 bits");
  }
  return coeffs;
}

SplineShape shape_of(i64 k, i64 p, const Array<u64>& coeffs, i64 bytes) {
  return shape_of(k, p, static_cast<i64>(coeffs.shape[1]) - 1, static_cast<i64>(coeffs.shape[0]) - 1, bytes);
}

nb::object sides_of(nb::handle x_, nb::handle knots_, i64 m, i64 rank, nb::bytes key_, u64 nonce,
                    nb::handle corrections_, int threads, std::string_view tier_) {
  const auto x = take<u64>(x_, "x", 1);
  const auto knots = take<u64>(knots_, "knots", 1);
  if (rank != 0 && rank != 1) throw nb::value_error("rank must be 0 (client) or 1 (server)");
  const RootStream stream{take_key(key_), nonce};
  check_threads(threads);
  const Tier tier = take_tier(tier_);
  DpfShape shape{};
  check(dpf_shape(m, x.size, shape));
  const auto corrections = take_bytes(corrections_, "corrections", shape.bytes());
  std::size_t size = 0;
  if (!product({knots.size, (x.size + 7) / 8}, size)) throw std::bad_alloc();
  Bytes out = new_bytes(size);
  Status status;
  {
    nb::gil_scoped_release release;
    status = dpf_sides(tier, threads, shape, m, x.data, {knots.data, knots.size}, static_cast<unsigned>(rank), stream,
                       corrections.data, out.get());
  }
  check(status);
  return to_numpy(std::move(out), size);
}

nb::object deal_of(nb::handle lam_, i64 k, i64 p, i64 degree, i64 knots, i64 bytes, nb::handle flips_, nb::bytes key_,
                   u64 nonce, int threads, std::string_view tier_) {
  const auto lam = take<u64>(lam_, "lam", 1);
  const SplineShape shape = shape_of(k, p, degree, knots, bytes);
  const auto flips = take_bits(flips_, "flips", lam.size, static_cast<std::size_t>(knots));
  const u8* key = take_key(key_);
  check_threads(threads);
  const Tier tier = take_tier(tier_);
  std::size_t size = 0;
  if (!product({lam.size, shape.words(), static_cast<std::size_t>(bytes)}, size)) throw std::bad_alloc();
  Bytes out = new_bytes(size);
  Status status;
  {
    nb::gil_scoped_release release;
    status = spline_deal(tier, threads, shape, lam.size, lam.data, flips.data, key, nonce, out.get());
  }
  check(status);
  return to_numpy(std::move(out), size);
}

nb::object client_of(nb::handle opened_, i64 k, i64 p, nb::handle coeffs_, i64 trunc, i64 bytes, nb::handle dhat_,
                     nb::bytes key_, u64 nonce, int threads, std::string_view tier_) {
  const auto opened = take<u64>(opened_, "opened", 1);
  const auto coeffs = take_coeffs(coeffs_);
  const SplineShape shape = shape_of(k, p, coeffs, bytes);
  const auto dhat = take_bits(dhat_, "dhat", opened.size, static_cast<std::size_t>(shape.knots));
  const u8* key = take_key(key_);
  check_threads(threads);
  const Tier tier = take_tier(tier_);
  Words out = new_words(opened.shape);
  Status status;
  {
    nb::gil_scoped_release release;
    status = spline_client(tier, threads, shape, coeffs.data, trunc, opened.size, opened.data, dhat.data, key, nonce,
                           out.get());
  }
  check(status);
  return to_numpy(std::move(out), opened.shape);
}

nb::object server_of(nb::handle opened_, i64 k, i64 p, nb::handle coeffs_, i64 trunc, i64 bytes, nb::handle dhat_,
                     nb::handle words_, int threads, std::string_view tier_) {
  const auto opened = take<u64>(opened_, "opened", 1);
  const auto coeffs = take_coeffs(coeffs_);
  const SplineShape shape = shape_of(k, p, coeffs, bytes);
  const auto dhat = take_bits(dhat_, "dhat", opened.size, static_cast<std::size_t>(shape.knots));
  const auto words = take_bytes(words_, "words", opened.size * shape.words() * static_cast<std::size_t>(bytes));
  check_threads(threads);
  static_cast<void>(take_tier(tier_));
  Words out = new_words(opened.shape);
  Status status;
  {
    nb::gil_scoped_release release;
    status = spline_server(threads, shape, coeffs.data, trunc, opened.size, opened.data, dhat.data, words.data,
                           out.get());
  }
  check(status);
  return to_numpy(std::move(out), opened.shape);
}

}  // namespace

void bind_spline(nb::module_& m) {
  const auto threads = nb::arg("threads") = 1;
  const auto tier = nb::arg("tier") = "";
  m.def("dpf_sides", sides_of, nb::arg("x"), nb::arg("knots"), nb::arg("m"), nb::arg("rank"), nb::arg("key"),
        nb::arg("nonce"), nb::arg("corrections"), nb::kw_only(), threads, tier);
  m.def("spline_deal", deal_of, nb::arg("lam"), nb::arg("k"), nb::arg("p"), nb::arg("degree"), nb::arg("knots"),
        nb::arg("width"), nb::arg("flips"), nb::arg("key"), nb::arg("nonce"), nb::kw_only(), threads, tier);
  m.def("spline_client", client_of, nb::arg("opened"), nb::arg("k"), nb::arg("p"), nb::arg("coeffs"), nb::arg("trunc"),
        nb::arg("width"), nb::arg("dhat"), nb::arg("key"), nb::arg("nonce"), nb::kw_only(), threads, tier);
  m.def("spline_server", server_of, nb::arg("opened"), nb::arg("k"), nb::arg("p"), nb::arg("coeffs"), nb::arg("trunc"),
        nb::arg("width"), nb::arg("dhat"), nb::arg("words"), nb::kw_only(), threads, tier);
}

}  // namespace tacit::bind
