// Hooks: what an embedding program may see and decide.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/mail/reply.h"
#include "lib/service/filter/function_filter.h"
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

  // step is asked in each phase of each SMTP session, and told what happens in it: a filter behind
  // those of the listener. What is submitted by Server::Submit has no session.
  service::FilterFunctions step;
  // new_filter gives a filter of one session that may wait, and that messages may go through
  // (service/smtp/session_filter.h); it stands last in the chain. Null: none for this one. Called
  // on the session's loop, on which the filter lives; `facts` live as long as it does.
  std::function<std::unique_ptr<service::SessionFilter>(rt::Executor& loop,
                                                        const service::SmtpSessionFacts& facts)>
      new_filter;
};

}  // namespace postern::server
