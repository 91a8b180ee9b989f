// All that a receiver checks about one message: iprev, SPF, DKIM, ARC and DMARC, and the header
// field that tells of it.
//
//   Authenticator authenticator(options);
//   authenticator.Feed(…);  authenticator.Finish();
//   const Authentication found = co_await authenticator.Check(connection);
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/time.h"
#include "lib/core/dns/inquiry.h"
#include "lib/core/trust/arc_verify.h"
#include "lib/core/trust/authentication_results.h"
#include "lib/core/trust/dkim_verify.h"
#include "lib/core/trust/dmarc_check.h"
#include "lib/core/trust/dmarc_report.h"
#include "lib/core/trust/iprev.h"
#include "lib/core/trust/message_scan.h"
#include "lib/core/trust/spf_check.h"

namespace postern::trust {

// AuthenticateOptions are the bounds of each check, as its own header has them, and which run.
struct AuthenticateOptions {
  bool check_iprev = true;
  bool check_spf = true;
  bool check_helo = true;  // SPF for the HELO name as well (RFC 7208 §2.3)
  bool check_dkim = true;
  bool check_arc = true;
  bool check_dmarc = true;
  IprevLimits iprev;
  SpfLimits spf;
  DkimVerifyOptions dkim;
  ArcVerifyOptions arc;
  DmarcOptions dmarc;
  MessageScanOptions scan;
};

// AuthenticateRequest is what is known of how the message came.
struct AuthenticateRequest {
  std::optional<IpAddress> client;  // without it iprev and SPF are not checked
  std::string helo;                 // as the client gave it
  std::string mail_from;            // reverse-path without brackets; "" is the null one
  std::string authserv_id;          // who we are in Authentication-Results
  std::string auth_user;            // login of the client (RFC 4954); empty: none
  WallTime now;
};

// Authentication is what was found. A check that did not run is absent.
struct Authentication {
  std::optional<Iprev> iprev;
  std::optional<Spf> spf;       // of the reverse-path, or of HELO when that is null
  std::optional<Spf> spf_helo;  // only besides a reverse-path that is not null
  std::optional<DkimVerdict> dkim;
  std::optional<ArcVerdict> arc;
  DmarcAuthor author;
  std::optional<DmarcCheck> dmarc;

  // results is the field's content, one result for each check (RFC 8601 §2.7).
  AuthenticationResults results;
  // explanations are the sentences of all checks, in their order.
  std::vector<std::string> explanations;
};

// Authenticator reads one message in one pass, however long it is. Not thread-safe.
class Authenticator {
 public:
  explicit Authenticator(AuthenticateOptions options = {});
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;

  // Feed takes the next octets of the message as they came (CRLF lines unless the scan is told
  // otherwise); Finish ends it, once.
  void Feed(std::string_view octets) { scan_.Feed(octets); }
  void Finish() { scan_.Finish(); }

  // Check asks the DNS and judges. After Finish, once; the Authenticator must outlive it.
  dns::Inquiry<Authentication> Check(AuthenticateRequest request);

 private:
  // FromReader keeps the From fields.
  class FromReader : public MessageScan::Reader {
   public:
    void OnHeader(const HeaderFields& header, BodyHasher& body) override;
    void OnUnreadable(const char* reason, std::string why) override;
    DmarcAuthor author;
  };

  std::vector<MessageScan::Reader*> Readers();

  AuthenticateOptions options_;
  DkimVerifier dkim_;
  ArcVerifier arc_;
  FromReader from_;
  MessageScan scan_;
};

// Authenticate checks a whole message that is in memory.
dns::Inquiry<Authentication> Authenticate(std::string message, AuthenticateRequest request,
                                          AuthenticateOptions options = {});

// DmarcInputOf gives what SPF and DKIM found as CheckDmarc wants it. Either may be null.
DmarcInput DmarcInputOf(DmarcAuthor author, const Spf* spf, const DkimVerdict* dkim);

// DmarcReportRecordOf is what an aggregate report says of one message (RFC 9990 §3.1.1.8):
// `applied` is what was done with it. nullopt when there is no client or no author's domain, or
// DMARC was not checked: such a message has no place in a report. `envelope_to` is the domain of a
// recipient, or empty. A failure let through because the policy says t=y gets that for a reason;
// whoever has another one adds it.
std::optional<DmarcReportRecord> DmarcReportRecordOf(const Authentication& found,
                                                     const AuthenticateRequest& request,
                                                     DmarcPolicy applied,
                                                     std::string_view envelope_to = {});

// The results of single checks as Authentication-Results has them.
AuthMethodResult AuthResultOf(const Iprev& iprev, const IpAddress& client);
AuthMethodResult AuthResultOf(const Spf& spf, std::string_view mail_from, std::string_view helo);
AuthMethodResult AuthResultOf(const DkimSignatureVerdict& dkim);
AuthMethodResult AuthResultOf(const ArcVerdict& arc, const IpAddress* client);
AuthMethodResult AuthResultOf(const DmarcCheck& dmarc);

}  // namespace postern::trust
