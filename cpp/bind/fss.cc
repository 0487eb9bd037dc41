#include <nanobind/stl/string_view.h>

#include "bind/arrays.h"
#include "fss/dpf.h"
#include "fss/relu.h"

namespace tacit::bind {
namespace {

DpfShape shape_of(i64 m, std::size_t n) {
  DpfShape shape{};
  check(dpf_shape(m, n, shape));
  return shape;
}

nb::object keygen_of(nb::handle alpha_, i64 m, nb::bytes client_key_, u64 client_nonce, nb::bytes server_key_,
                     u64 server_nonce, int threads, std::string_view tier_) {
  const auto alpha = take<u64>(alpha_, "alpha", 1);
  const RootStream client{take_key(client_key_), client_nonce};
  const RootStream server{take_key(server_key_), server_nonce};
  check_threads(threads);
  const Tier tier = take_tier(tier_);
  const DpfShape shape = shape_of(m, alpha.size);
  Bytes out = new_bytes(shape.bytes());
  Status status;
  {
    nb::gil_scoped_release release;
    status = dpf_keygen(tier, threads, shape, m, alpha.data, client, server, out.get());
  }
  check(status);
  return to_numpy(std::move(out), shape.bytes());
}

nb::object less_of(nb::handle x_, i64 m, i64 rank, nb::bytes key_, u64 nonce, nb::handle corrections_, int threads,
                   std::string_view tier_) {
  const auto x = take<u64>(x_, "x", 1);
  if (rank != 0 && rank != 1) throw nb::value_error("rank must be 0 (client) or 1 (server)");
  const RootStream stream{take_key(key_), nonce};
  check_threads(threads);
  const Tier tier = take_tier(tier_);
  const DpfShape shape = shape_of(m, x.size);
  const auto corrections = take_bytes(corrections_, "corrections", shape.bytes());
  const std::size_t size = (x.size + 7) / 8;
  Bytes out = new_bytes(size);
  Status status;
  {
    nb::gil_scoped_release release;
    status = dpf_less(tier, threads, shape, m, x.data, static_cast<unsigned>(rank), stream, corrections.data,
                      out.get());
  }
  check(status);
  return to_numpy(std::move(out), size);
}

nb::object deal_of(nb::handle lam_, i64 k, i64 p, i64 ring, nb::handle flip_, nb::bytes key_, u64 nonce, int threads,
                   std::string_view tier_) {
  const auto lam = take<u64>(lam_, "lam", 1);
  const auto flip = take_bits(flip_, "flip", lam.size);
  const u8* key = take_key(key_);
  check_threads(threads);
  const Tier tier = take_tier(tier_);
  std::size_t size = 0;
  check(relu_bytes(lam.size, ring, size));
  Bytes out = new_bytes(size);
  Status status;
  {
    nb::gil_scoped_release release;
    status = relu_deal(tier, threads, {k, p}, ring, lam.size, lam.data, flip.data, key, nonce, out.get());
  }
  check(status);
  return to_numpy(std::move(out), size);
}

nb::object client_of(nb::handle opened_, i64 k, i64 p, nb::handle dhat_, nb::bytes key_, u64 nonce, i64 below,
                     i64 above, int threads, std::string_view tier_) {
  const auto opened = take<u64>(opened_, "opened", 1);
  const auto dhat = take_bits(dhat_, "dhat", opened.size);
  const u8* key = take_key(key_);
  check_threads(threads);
  const Tier tier = take_tier(tier_);
  Words out = new_words(opened.shape);
  Status status;
  {
    nb::gil_scoped_release release;
    status = relu_client(tier, threads, {k, p}, {below, above}, opened.size, opened.data, dhat.data, key, nonce,
                         out.get());
  }
  check(status);
  return to_numpy(std::move(out), opened.shape);
}

nb::object server_of(nb::handle opened_, i64 k, i64 p, nb::handle dhat_, nb::handle words_, i64 ring, i64 below,
                     i64 above, int threads, std::string_view tier_) {
  const auto opened = take<u64>(opened_, "opened", 1);
  const auto dhat = take_bits(dhat_, "dhat", opened.size);
  std::size_t size = 0;
  check(relu_bytes(opened.size, ring, size));
  const auto words = take_bytes(words_, "words", size);
  check_threads(threads);
  static_cast<void>(take_tier(tier_));
  Words out = new_words(opened.shape);
  Status status;
  {
    nb::gil_scoped_release release;
    status = relu_server(threads, {k, p}, {below, above}, ring, opened.size, opened.data, dhat.data, words.data, out.get());
  }
  check(status);
  return to_numpy(std::move(out), opened.shape);
}

}  // namespace

void bind_fss(nb::module_& m) {
  const auto threads = nb::arg("threads") = 1;
  const auto tier = nb::arg("tier") = "";
  m.def("dpf_size", [](i64 bits, std::size_t n) { return shape_of(bits, n).bytes(); }, nb::arg("m"), nb::arg("n"));
  m.def("dpf_keygen", keygen_of, nb::arg("alpha"), nb::arg("m"), nb::arg("client_key"), nb::arg("client_nonce"),
        nb::arg("server_key"), nb::arg("server_nonce"), nb::kw_only(), threads, tier);
  m.def("dpf_less", less_of, nb::arg("x"), nb::arg("m"), nb::arg("rank"), nb::arg("key"), nb::arg("nonce"),
        nb::arg("corrections"), nb::kw_only(), threads, tier);
  m.def("relu_deal", deal_of, nb::arg("lam"), nb::arg("k"), nb::arg("p"), nb::arg("ring"), nb::arg("flip"),
        nb::arg("key"), nb::arg("nonce"), nb::kw_only(), threads, tier);
  m.def("relu_client", client_of, nb::arg("opened"), nb::arg("k"), nb::arg("p"), nb::arg("dhat"), nb::arg("key"),
        nb::arg("nonce"), nb::arg("below") = 0, nb::arg("above") = 1, nb::kw_only(), threads, tier);
  m.def("relu_server", server_of, nb::arg("opened"), nb::arg("k"), nb::arg("p"), nb::arg("dhat"), nb::arg("words"),
        nb::arg("ring"), nb::arg("below") = 0, nb::arg("above") = 1, nb::kw_only(), threads, tier);
}

}  // namespace tacit::bind
