// DMARC failure reports (RFC 9991): whether one is asked for, and what stands in it. The mail
// itself is an abuse report (core/message's arf.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/time.h"
#include "lib/core/message/arf.h"
#include "lib/core/trust/authentication_results.h"
#include "lib/core/trust/dmarc_check.h"

namespace postern::trust {

// DmarcFailureFacts is what was found out about one message.
struct DmarcFailureFacts {
  bool spf_failed = false;   // SPF gave fail or softfail, aligned or not
  bool dkim_failed = false;  // a signature was there and failed, aligned or not
};

// WantsFailureReport tells whether the record of `check` asks for a report about this message: "fo"
// against the facts (RFC 9989 §4.7 "fo"), and "ruf" with somewhere to send it. A temporary error
// asks for none.
bool WantsFailureReport(const DmarcCheck& check, const DmarcFailureFacts& facts);

// DmarcFailureReport is what a report is made of besides the check.
struct DmarcFailureReport {
  std::string user_agent;  // "Postern/0.1"
  std::optional<IpAddress> client;
  uint16_t client_port = 0;
  std::string mail_from;                // reverse-path without brackets
  std::vector<std::string> recipients;  // left out when empty, which privacy asks for (§6)
  std::string envelope_id;
  std::string reporting_mta;  // our name
  WallTime arrival;
  int offset_minutes = 0;
  AuthenticationResults results;
  // What became of it: "delivered", "spam", "policy", "reject", "other" (RFC 6591 §3.2.2).
  std::string delivery_result;
  // Of the signature that failed, when that is why (RFC 6591 §3.2.4).
  std::string dkim_domain, dkim_identity, dkim_selector;
  std::vector<std::string> spf_dns;  // records that were looked at: "txt : example.org : v=spf1 …"
  std::string message;               // the message, or its header
  bool headers_only = true;          // only the header goes out (§6)
};

// MakeFailureReport fills in the fields that RFC 9991 §4 asks for; message::BuildArf makes the
// mail.
message::ArfReport MakeFailureReport(const DmarcCheck& check, const DmarcFailureReport& facts);

// IsFailureReport tells whether a message is one, so that no report is made about a report (RFC
// 9991 §3).
bool IsFailureReport(const message::MessageView& message);

}  // namespace postern::trust
