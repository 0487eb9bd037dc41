#include "prg/prg.h"

#include <nanobind/stl/string_view.h>

#include "bind/arrays.h"

namespace tacit::bind {
namespace {

nb::object prg_of(nb::bytes key_, u64 nonce, u64 first, std::size_t count, int threads, std::string_view tier_) {
  const u8* key = take_key(key_);
  check_threads(threads);
  const Tier tier = take_tier(tier_);
  Words out = new_words({count});
  Status status;
  {
    nb::gil_scoped_release release;
    status = prg(tier, threads, key, nonce, first, count, out.get());
  }
  check(status);
  return to_numpy(std::move(out), {count});
}

}  // namespace

void bind_prg(nb::module_& m) {
  m.def("prg", prg_of, nb::arg("key"), nb::arg("nonce"), nb::arg("first"), nb::arg("count"), nb::kw_only(),
        nb::arg("threads") = 1, nb::arg("tier") = "");
}

}  // namespace tacit::bind
