#include "lib/capi/message_capi.h"

#include <cstring>

#include "lib/capi/struct_capi.h"
#include "lib/core/base/strings.h"

namespace postern::capi {
postern_message MessageOf(const server::IncomingView& view) {
  postern_message message;
  message.reverse_path = view.sender->address.ToString();
  for (const service::AcceptedRecipient& each : *view.recipients) {
    message.recipients.push_back(each.path.address.ToString());
  }
  message.content = view.content;
  if (!view.facts->listener->is_local_socket)
    message.client_address = view.facts->remote.address.ToString();
  message.helo = view.facts->helo;
  message.auth_user = view.facts->auth_user;
  message.tls = view.facts->tls.has_value();
  return message;
}

server::IncomingVerdict VerdictOf(postern_status returned, const postern_message_verdict& verdict) {
  server::IncomingVerdict result;
  if (returned != POSTERN_OK) {
    result.action = server::IncomingVerdict::Action::kRefuse;
    result.reply = mail::Reply(451, {4, 3, 0}, "Temporary failure, try again later");
    return result;
  }
  switch (verdict.action) {
    case POSTERN_MESSAGE_TAKE:
      result.action = server::IncomingVerdict::Action::kTake;
      return result;
    case POSTERN_MESSAGE_REFUSE: {
      result.action = server::IncomingVerdict::Action::kRefuse;
      const bool in_range = verdict.reply_code >= 400 && verdict.reply_code <= 599;
      const int code = in_range ? verdict.reply_code : 550;
      const std::string_view text(verdict.reply_text,
                                  strnlen(verdict.reply_text, sizeof verdict.reply_text));
      StatusOr<mail::Reply> reply = mail::Reply::FromText(StrCat(code, " ", text));
      result.reply = reply.ok() ? std::move(*reply) : mail::Reply(code, {}, "");
      if (result.reply.status.empty()) result.reply.status = mail::EnhancedStatus{code / 100, 7, 1};
      if (result.reply.Text().empty()) {
        result.reply.lines = {code < 500 ? "Temporary failure, try again later"
                                         : "Message refused"};
      }
      return result;
    }
    case POSTERN_MESSAGE_CONTINUE: return result;
    default:
      // A verdict that means nothing: the message is neither lost nor taken for good.
      result.action = server::IncomingVerdict::Action::kRefuse;
      result.reply = mail::Reply(451, {4, 3, 5}, "Temporary failure, try again later");
      return result;
  }
}

}  // namespace postern::capi

extern "C" {

using postern::capi::Lend;

postern_str postern_message_reverse_path(const postern_message* message) {
  return Lend(message->reverse_path);
}
size_t postern_message_recipient_count(const postern_message* message) {
  return message->recipients.size();
}
postern_str postern_message_recipient(const postern_message* message, size_t index) {
  return index < message->recipients.size() ? Lend(message->recipients[index])
                                            : postern_str{nullptr, 0};
}
postern_str postern_message_content(const postern_message* message) {
  return Lend(message->content);
}
postern_str postern_message_client_address(const postern_message* message) {
  return Lend(message->client_address);
}
postern_str postern_message_helo(const postern_message* message) { return Lend(message->helo); }
postern_str postern_message_auth_user(const postern_message* message) {
  return Lend(message->auth_user);
}
int postern_message_is_tls(const postern_message* message) { return message->tls ? 1 : 0; }

}  // extern "C"
