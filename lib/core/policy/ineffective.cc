// What the language says and this version does not obey, where mail flows all the same.

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

#include "lib/core/base/strings.h"
#include "lib/core/policy/parse.h"

namespace postern::policy {

Diagnostics IneffectiveSettings(const Config& config) {
  // What relay_routes.cc gives to the relay, and server.cc to the scheduler.
  constexpr std::string_view kObeyed[] = {
      "mta limit max-conn-per-host",
      "mta limit max-conn-per-route",
      "mta limit max-conn-per-source",
      "mta limit max-conn-per-connector",
      "mta limit max-conn-per-relay",
      "mta limit max-conn-per-domain",
      "mta limit conn-delay-host",
      "mta limit conn-delay-route",
      "mta limit conn-delay-source",
      "mta limit conn-delay-connector",
      "mta limit conn-delay-relay",
      "mta limit conn-delay-domain",
      "mta limit session-mail-max",
      "mta limit session-keepalive",
      "mta limit session-transaction-delay",
      "mta limit max-failures-per-session",
      "mta limit max-reply-line",
      "scheduler limit max-inflight",
      "scheduler limit max-evp-batch-size",
      "mda limit max-session",
      "mda limit max-session-per-user",
  };
  Diagnostics out;
  const auto tell = [&out](const SourceLocation& at, std::string_view what) {
    out.push_back(MakeWarning(at, StrCat(what, " has no effect: this version does not obey it")));
  };
  for (const WrittenLimit& limit : config.written_limits) {
    if (std::find(std::begin(kObeyed), std::end(kObeyed), limit.name) == std::end(kObeyed))
      tell(limit.location, limit.name);
  }
  // Filter programs are told of it, and nobody else is.
  if (config.admd_location.line != 0 && config.procs.empty()) tell(config.admd_location, "admd");
  return out;
}

}  // namespace postern::policy
