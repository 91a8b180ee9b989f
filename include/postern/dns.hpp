// Where checks get their DNS answers from, in C++. See dns.h.
#ifndef POSTERN_DNS_HPP
#define POSTERN_DNS_HPP

#include "dns.h"
#include "result.hpp"
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

namespace postern {

// DnsAnswer is lent to a Resolver's function, which fills it.
class DnsAnswer {
 public:
  explicit DnsAnswer(postern_dns_answer* answer) : answer_(answer) {}
  // Add adds a record, its data as in a zone file; false when they are not right for the type.
  bool Add(std::string_view text) {
    return postern_dns_answer_add(answer_, text.data(), text.size()) == POSTERN_OK;
  }
  // AddOctets adds a record, its data as on the wire, not compressed.
  bool AddOctets(std::string_view octets) {
    return postern_dns_answer_add_octets(answer_, octets.data(), octets.size()) == POSTERN_OK;
  }
  // SetFailure makes it POSTERN_DNS_*.
  void SetFailure(int32_t failure) { postern_dns_answer_set_failure(answer_, failure); }

 private:
  postern_dns_answer* answer_;
};

// Resolver answers the questions of checks, one thread at a time.
class Resolver {
 public:
  // FromZone answers from the text of a zone file.
  static Result<Resolver> FromZone(std::string_view zone_text) {
    postern_resolver* made = nullptr;
    postern_error* error = nullptr;
    const postern_status status =
        postern_resolver_new_zone(&made, zone_text.data(), zone_text.size(), &error);
    return Made(status, made, error);
  }
  // FromSystem asks the network.
  static Result<Resolver> FromSystem(
      const postern_resolver_options& options = POSTERN_RESOLVER_OPTIONS_INIT) {
    postern_resolver* made = nullptr;
    postern_error* error = nullptr;
    const postern_status status = postern_resolver_new_system(&made, &options, &error);
    return Made(status, made, error);
  }
  // FromFunction asks `function`, which must not throw: the name without a final dot, and the type
  // as the DNS numbers them.
  using Function = std::function<void(std::string_view name, uint16_t type, DnsAnswer& answer)>;
  static Result<Resolver> FromFunction(Function function) {
    postern_resolver_callbacks callbacks = POSTERN_RESOLVER_CALLBACKS_INIT;
    callbacks.user_data = new Function(std::move(function));
    callbacks.destroy_user_data = [](void* data) { delete static_cast<Function*>(data); };
    callbacks.on_query = [](const char* name, uint16_t type, postern_dns_answer* answer,
                            void* data) -> postern_status {
      DnsAnswer filled(answer);
      (*static_cast<Function*>(data))(name, type, filled);
      return POSTERN_OK;
    };
    postern_resolver* made = nullptr;
    postern_error* error = nullptr;
    const postern_status status = postern_resolver_new_callback(&made, &callbacks, &error);
    return Made(status, made, error);
  }

  // get lends the handle, for the C API.
  postern_resolver* get() const { return resolver_.get(); }

 private:
  struct Free {
    void operator()(postern_resolver* resolver) const { postern_resolver_free(resolver); }
  };
  explicit Resolver(postern_resolver* resolver) : resolver_(resolver) {}
  static Result<Resolver> Made(postern_status status, postern_resolver* made,
                               postern_error* error) {
    if (status != POSTERN_OK) return Error::Take(status, error);
    return Resolver(made);
  }
  std::unique_ptr<postern_resolver, Free> resolver_;
};

}  // namespace postern

#endif  // POSTERN_DNS_HPP
