// SPF: may this client use this sender's domain (RFC 7208 check_host)?
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/core/base/ip_address.h"
#include "lib/core/dns/inquiry.h"
#include "lib/core/trust/spf_record.h"

namespace postern::trust {

// RFC 7208 §2.6.
enum class SpfResult { kNone, kNeutral, kPass, kFail, kSoftFail, kTempError, kPermError };
// SpfResultName gives "none", "neutral", "pass", "fail", "softfail", "temperror" or "permerror".
const char* SpfResultName(SpfResult result);

enum class SpfIdentity {
  kMailFrom,  // the reverse-path; postmaster at the HELO name when that is null (RFC 7208 §2.4)
  kHelo,      // the HELO name (§2.3)
};
const char* SpfIdentityName(SpfIdentity identity);  // "mailfrom", "helo" (§9.1)

struct SpfQuery {
  IpAddress client;
  std::string helo;    // as the client gave it
  std::string sender;  // reverse-path "local@domain" without quotes or brackets; "" is the null one
  SpfIdentity identity = SpfIdentity::kMailFrom;
  std::string receiver;    // this host's name, for %{r}; "" is "unknown"
  int64_t now_unix_s = 0;  // for %{t}
};

// SpfLimits are those of RFC 7208 §4.6.4, which also wants a limit in time of 20 s at least: that
// is the deadline of whoever drives the inquiry. More than 100 lookups are never made.
struct SpfLimits {
  size_t max_lookups = 10;      // include, a, mx, ptr, exists, redirect and the first %{p}
  size_t max_void_lookups = 2;  // terms whose queries found no record; ptr and %{p} do not count,
                                // because the client's reverse zone, not the domain, makes them
  size_t max_mx_names = 10;     // of one mx; more are a permerror
  size_t max_ptr_names = 10;    // of the client; more are not looked at
  size_t max_explanation_bytes = 1024;  // of the domain's text for the sender, after expansion
  SpfRecordLimits record;
};

// One record on the way to the result.
struct SpfStep {
  std::string domain;  // whose record it is
  std::string record;  // as it is published; "" when there is none
  std::string term;    // that was decisive: the mechanism that matched, the redirect that was
                       // followed, the term that went wrong; "" when no term was
};

struct Spf {
  SpfResult result = SpfResult::kNone;
  // reason is one of
  //   none: no_domain, no_record
  //   neutral, pass, fail, softfail: matched (a mechanism other than all), matched_all; also
  //     neutral: no_match
  //   temperror: dns_failed
  //   permerror: syntax, many_records, too_many_lookups, too_many_void_lookups, too_many_mx_names,
  //     included_no_record, redirected_no_record, malformed_domain
  std::string reason;
  std::string explanation;  // "SPF softfail: 192.0.2.7 matches no mechanism of example.org's …"
  // published is the domain's own text for the sender (exp=, RFC 7208 §6.2), only for kFail; ""
  // when it has none. It comes from a stranger: printable ASCII, but of any meaning.
  std::string published;
  SpfIdentity identity = SpfIdentity::kMailFrom;
  std::string domain;          // that was checked, in A-labels; "" when there is none
  std::vector<SpfStep> steps;  // the first record, and those it led to by redirect or include
  // mechanism is the directive of the first record (or of the one it redirects to) that made the
  // result; "" when none did.
  std::string mechanism;
  size_t lookups = 0;       // terms that asked the DNS, as counted against max_lookups
  size_t void_lookups = 0;  // counted against max_void_lookups
};

// CheckSpf asks for what it needs and judges. International domains are looked up in A-labels; a
// term with %{s} or %{l} does not match for a local part beyond ASCII (RFC 8616 §4).
dns::Inquiry<Spf> CheckSpf(SpfQuery query, SpfLimits limits = {});

}  // namespace postern::trust
