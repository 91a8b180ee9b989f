// Hooks: what an embedding program may see and decide.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/ip_address.h"
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

// TokenView is a login by OAUTHBEARER (RFC 7628) or XOAUTH2; everything in it dies when the hook
// returns.
struct TokenView {
  std::string_view mechanism;  // "OAUTHBEARER" or "XOAUTH2"
  std::string_view user;       // whom the client wants to be; may be empty
  std::string_view token;
  Endpoint remote;
};

struct TokenVerdict {
  enum class Kind { kRefused, kAccepted, kUnavailable };
  Kind kind = Kind::kRefused;
  std::string user;  // with kAccepted: whose token it is
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
  // on_token judges tokens; unset: the mechanisms are not offered. Called on a thread that may
  // wait, by several at once. Where the client said whom it wants to be, the verdict must name the
  // same.
  std::function<TokenVerdict(const TokenView&)> on_token;
};

}  // namespace postern::server
