// Hooks: what an embedding program may see and decide.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/mail/reply.h"
#include "lib/service/smtp/backend.h"

namespace postern::server {

// IncomingView is a message that has come whole; everything in it dies when the hook returns.
struct IncomingView {
  const service::SmtpSessionFacts* facts = nullptr;
  const mail::ReversePath* sender = nullptr;
  const std::vector<service::AcceptedRecipient>* recipients = nullptr;
  std::string_view content;
};

struct IncomingVerdict {
  enum class Action { kContinue, kTake, kRefuse };
  Action action = Action::kContinue;
  mail::Reply reply;  // for kRefuse
};

struct Hooks {
  // on_message decides about each message before its client gets a reply; unset: all go on. Called
  // on the session's loop.
  std::function<IncomingVerdict(const IncomingView&)> on_message;
};

}  // namespace postern::server
