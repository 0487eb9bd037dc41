#include "poly/poly.h"

#include <nanobind/stl/string_view.h>

#include "bind/arrays.h"

namespace tacit::bind {
namespace {

nb::object powers_of(nb::handle lam_, i64 k, i64 p, i64 degree, nb::bytes key_, u64 nonce, int threads,
                     std::string_view tier_) {
  const auto lam = take<u64>(lam_, "lam", 1);
  const u8* key = take_key(key_);
  check_threads(threads);
  const Tier tier = take_tier(tier_);
  const Opening opening{k, p, degree, 0};
  check(check_opening(opening));
  const std::vector<std::size_t> shape{lam.size, 2, static_cast<std::size_t>(degree), 2};
  Words out = new_words(shape);
  Status status;
  {
    nb::gil_scoped_release release;
    status = powers(tier, threads, opening, lam.size, lam.data, key, nonce, out.get());
  }
  check(status);
  return to_numpy(std::move(out), shape);
}

// coeffs of shape (degree + 1, 2), which alone tells the degree.
Array<u64> take_coeffs(nb::handle coeffs_, Opening& opening) {
  auto coeffs = take<u64>(coeffs_, "coeffs", 2);
  same_shape(coeffs.shape, {coeffs.shape[0], 2}, "coeffs");
  opening.degree = static_cast<i64>(coeffs.shape[0]) - 1;
  check(check_opening(opening));
  return coeffs;
}

nb::object client_of(nb::handle opened_, i64 k, i64 p, nb::handle coeffs_, i64 trunc, nb::bytes key_, u64 nonce,
                     int threads, std::string_view tier_) {
  const auto opened = take<u64>(opened_, "opened", 1);
  Opening opening{k, p, 0, trunc};
  const auto coeffs = take_coeffs(coeffs_, opening);
  const u8* key = take_key(key_);
  check_threads(threads);
  const Tier tier = take_tier(tier_);
  Words out = new_words(opened.shape);
  Status status;
  {
    nb::gil_scoped_release release;
    status = poly_client(tier, threads, opening, opened.size, opened.data, coeffs.data, key, nonce, out.get());
  }
  check(status);
  return to_numpy(std::move(out), opened.shape);
}

nb::object server_of(nb::handle opened_, i64 k, i64 p, nb::handle coeffs_, i64 trunc, nb::handle powers_, int threads,
                     std::string_view tier_) {
  const auto opened = take<u64>(opened_, "opened", 1);
  Opening opening{k, p, 0, trunc};
  const auto coeffs = take_coeffs(coeffs_, opening);
  const auto powers = take<u64>(powers_, "powers", 4);
  same_shape(powers.shape, {opened.size, 2, static_cast<std::size_t>(opening.degree), 2}, "powers");
  check_threads(threads);
  const Tier tier = take_tier(tier_);
  Words out = new_words(opened.shape);
  Status status;
  {
    nb::gil_scoped_release release;
    status = poly_server(tier, threads, opening, opened.size, opened.data, coeffs.data, powers.data, out.get());
  }
  check(status);
  return to_numpy(std::move(out), opened.shape);
}

}  // namespace

void bind_poly(nb::module_& m) {
  const auto threads = nb::arg("threads") = 1;
  const auto tier = nb::arg("tier") = "";
  m.def("powers", powers_of, nb::arg("lam"), nb::arg("k"), nb::arg("p"), nb::arg("degree"), nb::arg("key"),
        nb::arg("nonce"), nb::kw_only(), threads, tier);
  m.def("poly_client", client_of, nb::arg("opened"), nb::arg("k"), nb::arg("p"), nb::arg("coeffs"), nb::arg("trunc"),
        nb::arg("key"), nb::arg("nonce"), nb::kw_only(), threads, tier);
  m.def("poly_server", server_of, nb::arg("opened"), nb::arg("k"), nb::arg("p"), nb::arg("coeffs"), nb::arg("trunc"),
        nb::arg("powers"), nb::kw_only(), threads, tier);
}

}  // namespace tacit::bind
