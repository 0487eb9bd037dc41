// Checked passage of numpy arrays into kernels and back.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/memory.h"
#include "base/status.h"
#include "base/tier.h"

namespace tacit::bind {

namespace nb = nanobind;

// A C-contiguous, aligned array of the caller's, kept alive by `owner`.
template <class T>
struct Array {
  nb::ndarray<nb::ro> owner;
  const T* data;
  std::vector<std::size_t> shape;
  std::size_t size;
};

inline constexpr int kAnyRank = -1;

// Refuses (TypeError, ValueError) whatever is not a C-contiguous array of T of that rank; `name` is for the message.
template <class T>
Array<T> take(nb::handle object, const char* name, int rank);

extern template Array<u64> take<u64>(nb::handle, const char*, int);
extern template Array<u32> take<u32>(nb::handle, const char*, int);
extern template Array<u8> take<u8>(nb::handle, const char*, int);

// Whether the object is an array of uint32; `take` says what is wrong with any other.
bool is_halves(nb::handle object);

// What `run` gives for the array, taken as words of 32 bits or of 64 by its own type.
template <class Run>
nb::object by_width(nb::handle object, const char* name, int rank, const Run& run) {
  return is_halves(object) ? run(take<u32>(object, name, rank)) : run(take<u64>(object, name, rank));
}

// Exactly `size` bytes.
Array<u8> take_bytes(nb::handle object, const char* name, std::size_t size);

// `rows` rows of n bits, each of whole bytes with zeros after the last bit.
Array<u8> take_bits(nb::handle object, const char* name, std::size_t n, std::size_t rows = 1);

// Fails unless the shape is the one wanted.
void same_shape(const std::vector<std::size_t>& shape, const std::vector<std::size_t>& wanted, const char* name);

// 16 key bytes.
const u8* take_key(const nb::bytes& key);

Tier take_tier(std::string_view name);
void check_threads(int threads);

// Raises what a kernel reported.
void check(const Status& status);

// A new result array, allocated before the kernel runs and handed to numpy after.
Words new_words(const std::vector<std::size_t>& shape);
Bytes new_bytes(std::size_t size);
nb::object to_numpy(Words words, const std::vector<std::size_t>& shape);
nb::object to_numpy(Bytes bytes, std::size_t size);

void bind_ring(nb::module_& m);
void bind_conv(nb::module_& m);
void bind_prg(nb::module_& m);
void bind_poly(nb::module_& m);
void bind_fss(nb::module_& m);
void bind_spline(nb::module_& m);

}  // namespace tacit::bind
