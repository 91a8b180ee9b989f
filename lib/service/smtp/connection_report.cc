// What filters are told of a session as it happens.
#include <string>

#include "lib/core/base/strings.h"
#include "lib/service/smtp/connection.h"

namespace postern::service {

bool SmtpConnection::WatchesCommands() const {
  constexpr uint32_t kCommands = PhaseBit(SmtpPhase::kStartTls) | PhaseBit(SmtpPhase::kRset) |
                                 PhaseBit(SmtpPhase::kNoop) | PhaseBit(SmtpPhase::kQuit) |
                                 PhaseBit(SmtpPhase::kOther);
  return Watches(SessionEvent::kProtocolClient) || (filter_->phases() & kCommands) != 0;
}

void SmtpConnection::Report(FilterReport report) const {
  report.facts = &facts_;
  filter_->Report(report);
}

void SmtpConnection::ReportLogin(std::string_view user, StepResult result) const {
  if (!Watches(SessionEvent::kLinkAuth)) return;
  Report({.event = SessionEvent::kLinkAuth, .result = result, .text = user});
}

void SmtpConnection::ReportAddress(SessionEvent event, const mail::Reply& reply,
                                   const mail::Address* address) const {
  if (!Watches(event) || transaction_ == nullptr || transaction_->message == nullptr) return;
  StepResult result = StepResult::kOk;
  if (!reply.IsPositive() && reply.code != 0) {
    result = reply.IsTransient() ? StepResult::kTempFail : StepResult::kPermFail;
  }
  Report({.event = event,
          .result = result,
          .message_id = transaction_->message->id(),
          .address = address});
}

void SmtpConnection::ReportOutput() {
  if (!Watches(SessionEvent::kProtocolServer) || session_ == nullptr) return;
  const std::string_view output = session_->PendingOutput();
  std::string_view fresh = output.substr(std::min(reported_output_, output.size()));
  while (!fresh.empty()) {
    const size_t end = fresh.find("\r\n");
    Report({.event = SessionEvent::kProtocolServer, .text = fresh.substr(0, end)});
    fresh.remove_prefix(end == std::string_view::npos ? fresh.size() : end + 2);
  }
  reported_output_ = output.size();
}

void SmtpConnection::ReportLeaving() noexcept {
  try {
    DropTransaction();
    if (!std::exchange(linked_, false)) return;
    if (Watches(SessionEvent::kLinkDisconnect)) Report({.event = SessionEvent::kLinkDisconnect});
  } catch (...) {
    // Without memory to tell it, it stays untold.
  }
}

void SmtpConnection::DropTransaction() {
  const std::unique_ptr<Transaction> transaction = std::move(transaction_);
  if (transaction == nullptr || filter_ == nullptr) return;
  filter_->AbortContent();
  if (!transaction->begun) return;
  const std::string_view id = transaction->message->id();
  if (Watches(SessionEvent::kTxRollback))
    Report({.event = SessionEvent::kTxRollback, .message_id = id});
  if (Watches(SessionEvent::kTxReset)) Report({.event = SessionEvent::kTxReset, .message_id = id});
}

}  // namespace postern::service
