// `filter NAME milter "SOCKET"` and its options.

#include "lib/core/base/strings.h"
#include "lib/core/policy/milter_socket.h"
#include "lib/core/policy/parser.h"

namespace postern::policy {
namespace {

struct DefaultRow {
  const char* word;
  MilterDefault meaning;
};
constexpr DefaultRow kDefaults[] = {
    {"tempfail", MilterDefault::kTempFail},
    {"reject", MilterDefault::kReject},
    {"accept", MilterDefault::kAccept},
};

struct TimeRow {
  const char* word;
  Duration Milter::*member;
};
constexpr TimeRow kTimes[] = {
    {"connect-timeout", &Milter::connect_timeout},
    {"command-timeout", &Milter::command_timeout},
    {"content-timeout", &Milter::content_timeout},
};

// A client gives up ten minutes behind the final dot (RFC 5321 §4.5.3.2.6).
constexpr Duration kMaxTimeout = absl::Minutes(10);

}  // namespace

bool Parser::ParseMilter(Filter& filter) {
  Milter milter;
  std::string socket;
  SourceLocation at;
  if (!ExpectString("the socket of a milter, like \"inet:127.0.0.1:8891\"", &socket, &at))
    return false;
  StatusOr<Endpoint> endpoint = ParseMilterSocket(socket);
  if (!endpoint.ok()) {
    Error(at, StrCat("syntax error: found \"", Escape(socket, 160),
                     "\": ", Message(endpoint.status())));
    return false;
  }
  milter.endpoint = *std::move(endpoint);
  std::set<std::string> seen;
  while (!AtLineEnd()) {
    const TimeRow* time = nullptr;
    for (const TimeRow& row : kTimes) {
      if (Peek().IsBare(row.word)) time = &row;
    }
    if (time == nullptr && !Peek().IsBare("default")) {
      return Unexpected("default, connect-timeout, command-timeout or content-timeout",
                        {"default", "connect-timeout", "command-timeout", "content-timeout"});
    }
    const Token word = Take();
    if (!Once(&seen, time == nullptr ? "default" : time->word, "", word.location)) return false;
    if (time != nullptr) {
      const SourceLocation value_at = Peek().location;
      Duration& duration = milter.*(time->member);
      if (!ExpectDuration(time->word, &duration)) return false;
      if (duration <= absl::ZeroDuration() || duration > kMaxTimeout) {
        Error(value_at, StrCat(time->word, " is from 1s to 10m: no client waits longer"));
        return false;
      }
      continue;
    }
    const DefaultRow* found = nullptr;
    for (const DefaultRow& row : kDefaults) {
      if (Peek().IsBare(row.word)) found = &row;
    }
    if (found == nullptr)
      return Unexpected("accept, tempfail or reject", {"accept", "tempfail", "reject"});
    Take();
    milter.when_away = found->meaning;
  }
  filter.milter = static_cast<int>(config_.milters.size());
  config_.milters.push_back(std::move(milter));
  return true;
}

}  // namespace postern::policy
