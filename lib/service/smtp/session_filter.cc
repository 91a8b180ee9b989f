#include "lib/service/smtp/session_filter.h"

#include <utility>

namespace postern::service {

std::string_view SmtpPhaseName(SmtpPhase phase) {
  switch (phase) {
    case SmtpPhase::kConnect: return "connect";
    case SmtpPhase::kHelo: return "helo";
    case SmtpPhase::kEhlo: return "ehlo";
    case SmtpPhase::kStartTls: return "starttls";
    case SmtpPhase::kAuth: return "auth";
    case SmtpPhase::kMailFrom: return "mail-from";
    case SmtpPhase::kRcptTo: return "rcpt-to";
    case SmtpPhase::kData: return "data";
    case SmtpPhase::kCommit: return "commit";
    case SmtpPhase::kRset: return "rset";
    case SmtpPhase::kNoop: return "noop";
    case SmtpPhase::kQuit: return "quit";
    case SmtpPhase::kOther: break;
  }
  return "other";
}

std::string_view SessionEventName(SessionEvent event) {
  switch (event) {
    case SessionEvent::kLinkConnect: return "link-connect";
    case SessionEvent::kLinkGreeting: return "link-greeting";
    case SessionEvent::kLinkIdentify: return "link-identify";
    case SessionEvent::kLinkTls: return "link-tls";
    case SessionEvent::kLinkAuth: return "link-auth";
    case SessionEvent::kLinkDisconnect: return "link-disconnect";
    case SessionEvent::kTxReset: return "tx-reset";
    case SessionEvent::kTxBegin: return "tx-begin";
    case SessionEvent::kTxMail: return "tx-mail";
    case SessionEvent::kTxRcpt: return "tx-rcpt";
    case SessionEvent::kTxEnvelope: return "tx-envelope";
    case SessionEvent::kTxData: return "tx-data";
    case SessionEvent::kTxCommit: return "tx-commit";
    case SessionEvent::kTxRollback: return "tx-rollback";
    case SessionEvent::kProtocolClient: return "protocol-client";
    case SessionEvent::kProtocolServer: return "protocol-server";
    case SessionEvent::kFilterReport: return "filter-report";
    case SessionEvent::kFilterResponse: return "filter-response";
    case SessionEvent::kTimeout: break;
  }
  return "timeout";
}

void FilterChanges::Add(FilterChanges later) {
  for (mail::ForwardPath& path : later.add_recipients) add_recipients.push_back(std::move(path));
  for (mail::Address& address : later.remove_recipients)
    remove_recipients.push_back(std::move(address));
  if (later.change_sender) {
    change_sender = true;
    sender = std::move(later.sender);
  }
  if (later.quarantine) {
    quarantine = true;
    quarantine_reason = std::move(later.quarantine_reason);
  }
}

FilterVerdict FilterVerdict::TryLater(std::string_view filter) {
  FilterVerdict verdict;
  verdict.kind = Kind::kReject;
  verdict.reply = mail::Reply(451, {4, 3, 0}, "Temporary failure, try again later");
  verdict.filter = std::string(filter);
  return verdict;
}

}  // namespace postern::service
