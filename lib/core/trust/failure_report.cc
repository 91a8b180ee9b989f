#include "lib/core/trust/failure_report.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/mail/date.h"

namespace postern::trust {

bool WantsFailureReport(const DmarcCheck& check, const DmarcFailureFacts& facts) {
  if (!check.record || check.record->ruf.empty()) return false;
  if (check.result != DmarcResult::kPass && check.result != DmarcResult::kFail) return false;
  const DmarcFailureOptions& wanted = check.record->fo;
  if (wanted.all && check.result == DmarcResult::kFail) return true;
  if (wanted.any && !(check.spf_aligned && check.dkim_aligned)) return true;
  return (wanted.dkim && facts.dkim_failed) || (wanted.spf && facts.spf_failed);
}

message::ArfReport MakeFailureReport(const DmarcCheck& check, const DmarcFailureReport& facts) {
  message::ArfReport report;
  report.feedback_type = "auth-failure";
  report.user_agent = facts.user_agent;
  report.auth_failure = "dmarc";
  report.delivery_result = facts.delivery_result;
  report.identity_alignment = check.dkim_aligned && check.spf_aligned ? "dkim, spf"
                              : check.dkim_aligned                    ? "dkim"
                              : check.spf_aligned                     ? "spf"
                                                                      : "none";
  report.original_mail_from = StrCat("<", facts.mail_from, ">");
  for (const std::string& recipient : facts.recipients)
    report.original_rcpt_to.push_back(StrCat("<", recipient, ">"));
  report.original_envelope_id = facts.envelope_id;
  if (!facts.reporting_mta.empty()) report.reporting_mta = StrCat("dns; ", facts.reporting_mta);
  report.arrival_date = mail::FormatDate(facts.arrival, facts.offset_minutes);
  if (facts.client) report.source_ip = facts.client->ToString();
  if (facts.client_port != 0) report.source_port = StrCat(facts.client_port);
  std::string results = FormatAuthenticationResults(facts.results);
  results.erase(
      std::remove_if(results.begin(), results.end(), [](char c) { return c == '\r' || c == '\n'; }),
      results.end());
  report.authentication_results.push_back(std::move(results));
  report.reported_domain.push_back(check.author_domain);
  report.dkim_domain = facts.dkim_domain;
  report.dkim_identity = facts.dkim_identity;
  report.dkim_selector = facts.dkim_selector;
  report.spf_dns = facts.spf_dns;
  report.original = facts.message;
  report.headers_only = facts.headers_only;
  report.text =
      StrCat("This is an authentication failure report (RFC 9991) about a message that named\r\n",
             check.author_domain, " as its author's domain.\r\n\r\n", check.explanation, "\r\n");
  return report;
}

bool IsFailureReport(const message::MessageView& message) {
  return std::any_of(message.parts().begin(), message.parts().end(), [](const message::Part& part) {
    return part.Is("message", "feedback-report");
  });
}

}  // namespace postern::trust
