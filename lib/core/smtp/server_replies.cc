// What a session answers, and how often its peer may do wrong.
#include "lib/core/base/strings.h"
#include "lib/core/smtp/server_session_impl.h"

namespace postern::smtp {

void ServerSession::Impl::Send(int code, mail::EnhancedStatus status, std::string_view text) {
  // The common case of Reply::ToWire, without its strings.
  StrAppend(output_, code, " ");
  if (!status.empty() && (options_->extensions & kExtensionEnhancedCodes) != 0) {
    StrAppend(output_, status.klass, ".", status.subject, ".", status.detail, " ");
  }
  StrAppend(output_, text, "\r\n");
}

void ServerSession::Impl::Send(const mail::Reply& reply) {
  if ((options_->extensions & kExtensionEnhancedCodes) == 0 && !reply.status.empty()) {
    mail::Reply plain = reply;
    plain.status = {};
    output_.append(plain.ToWire());
    return;
  }
  output_.append(reply.ToWire());
}

void ServerSession::Impl::SendError(int code, mail::EnhancedStatus status, std::string_view text) {
  SendError(mail::Reply(code, status, std::string(text)));
}

void ServerSession::Impl::SendError(const mail::Reply& reply) {
  Send(reply);
  TellError(reply);
  CountError();
}

void ServerSession::Impl::TellError(const mail::Reply& reply) {
  pending_error_ = true;
  error_code_ = reply.code;
  error_text_ = reply.Text();
  error_reply_ = reply.code == 0 ? std::string() : reply.ToString();
  error_command_.clear();
  if (line_is_secret_ && auth_ != nullptr) {
    error_command_ = StrCat("AUTH ", sasl::MechanismName(auth_->mechanism()), " (...)");
  } else if (line_is_secret_) {
    error_command_ = "AUTH (...)";
  } else if (line_.data() != nullptr) {
    error_command_ = line_.empty() ? "(empty line)" : Told(line_, false, "(...)");
  }
}

void ServerSession::Impl::CountError(std::string_view farewell) {
  if (++errors_ < options_->max_errors || options_->max_errors == 0 || mode_ == Mode::kClosed)
    return;
  Send(421, {4, 7, 0}, farewell);
  Close(CloseReason::kTooManyErrors);
}

void ServerSession::Impl::HangUp(std::string_view why) {
  if (mode_ == Mode::kClosed) return;
  Send(421, {4, 7, 0}, why);
  Close(CloseReason::kProtocol);
}

void ServerSession::Impl::CountIdleCommand() {
  if (++idle_commands_ > options_->max_idle_commands && options_->max_idle_commands > 0)
    CountError("Too many commands that lead nowhere");
}

}  // namespace postern::smtp
