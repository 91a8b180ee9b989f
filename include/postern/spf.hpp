// SPF and iprev in C++. See spf.h.
#ifndef POSTERN_SPF_HPP
#define POSTERN_SPF_HPP

#include "dns.hpp"
#include "spf.h"
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace postern {

// SpfQuery says what is asked. Without a sender it is the null reverse-path, and the HELO name
// counts.
struct SpfQuery {
  std::string client_ip;
  std::string helo;
  std::string sender;
  bool check_helo = false;  // the HELO identity, whatever the sender
  std::string receiver;     // the name of this host
};

// Spf is the outcome of one check. Views live as long as it does.
class Spf {
 public:
  struct Step {
    std::string_view domain, record, term;
  };

  int32_t result() const { return postern_spf_result(spf_.get()); }  // POSTERN_SPF_*
  bool passed() const { return result() == POSTERN_SPF_PASS; }
  std::string_view result_name() const { return postern_spf_result_name(spf_.get()); }
  std::string_view reason() const { return postern_spf_reason(spf_.get()); }
  std::string_view explanation() const { return postern_spf_explanation(spf_.get()); }
  std::string_view domain() const { return postern_spf_domain(spf_.get()); }
  std::string_view mechanism() const { return postern_spf_mechanism(spf_.get()); }
  std::string_view published() const { return postern_spf_published(spf_.get()); }
  size_t lookups() const { return postern_spf_lookups(spf_.get()); }
  size_t void_lookups() const { return postern_spf_void_lookups(spf_.get()); }
  std::vector<Step> steps() const {
    std::vector<Step> steps(postern_spf_step_count(spf_.get()));
    for (size_t i = 0; i < steps.size(); ++i)
      steps[i] = {postern_spf_step_domain(spf_.get(), i), postern_spf_step_record(spf_.get(), i),
                  postern_spf_step_term(spf_.get(), i)};
    return steps;
  }
  std::string_view received_header() const { return postern_spf_received_header(spf_.get()); }
  std::string_view json() const { return postern_spf_json(spf_.get()); }

 private:
  friend Result<Spf> CheckSpf(const Resolver& resolver, const SpfQuery& query);
  struct Free {
    void operator()(postern_spf* spf) const { postern_spf_free(spf); }
  };
  explicit Spf(postern_spf* spf) : spf_(spf) {}
  std::unique_ptr<postern_spf, Free> spf_;
};

// CheckSpf asks `resolver` what it needs, and blocks meanwhile.
inline Result<Spf> CheckSpf(const Resolver& resolver, const SpfQuery& query) {
  postern_spf_options options = POSTERN_SPF_OPTIONS_INIT;
  options.client_ip = query.client_ip.c_str();
  options.helo = query.helo.c_str();
  options.sender = query.sender.c_str();
  options.identity = query.check_helo ? POSTERN_SPF_HELO : POSTERN_SPF_MAILFROM;
  if (!query.receiver.empty()) options.receiver = query.receiver.c_str();
  postern_spf* made = nullptr;
  postern_error* error = nullptr;
  const postern_status status = postern_spf_check(&made, resolver.get(), &options, &error);
  if (status != POSTERN_OK) return Error::Take(status, error);
  return Spf(made);
}

// Iprev is the outcome of one check. Views live as long as it does.
class Iprev {
 public:
  int32_t result() const { return postern_iprev_result(iprev_.get()); }  // POSTERN_IPREV_*
  bool passed() const { return result() == POSTERN_IPREV_PASS; }
  std::string_view result_name() const { return postern_iprev_result_name(iprev_.get()); }
  std::string_view reason() const { return postern_iprev_reason(iprev_.get()); }
  std::string_view explanation() const { return postern_iprev_explanation(iprev_.get()); }
  std::string_view name() const { return postern_iprev_name(iprev_.get()); }
  std::string_view json() const { return postern_iprev_json(iprev_.get()); }

 private:
  friend Result<Iprev> CheckIprev(const Resolver& resolver, const std::string& client_ip);
  struct Free {
    void operator()(postern_iprev* iprev) const { postern_iprev_free(iprev); }
  };
  explicit Iprev(postern_iprev* iprev) : iprev_(iprev) {}
  std::unique_ptr<postern_iprev, Free> iprev_;
};

// CheckIprev looks whether a name of `client_ip` leads back to it, and blocks meanwhile.
inline Result<Iprev> CheckIprev(const Resolver& resolver, const std::string& client_ip) {
  postern_iprev* made = nullptr;
  postern_error* error = nullptr;
  const postern_status status =
      postern_iprev_check(&made, resolver.get(), client_ip.c_str(), &error);
  if (status != POSTERN_OK) return Error::Take(status, error);
  return Iprev(made);
}

}  // namespace postern

#endif  // POSTERN_SPF_HPP
