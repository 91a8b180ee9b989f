// Questions for PAM, the machine's pluggable ways to check a login, and what goes between the
// server that asks and the child of its helper that loads libpam and its modules (helper.h).
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "lib/core/base/status.h"

namespace postern::rt {

// PamService is what a service of PAM is found by: the name of its file, and the folder that this
// lies in; empty: where libpam looks (/etc/pam.d).
struct PamService {
  std::string name;
  std::string folder;
  auto operator<=>(const PamService&) const = default;
};

struct PamQuestion {
  PamService service;
  // Empty: nobody. The answer is a refusal, unless the service cannot be started.
  std::string user;
  // Unset: only whether the account may be used (pam_acct_mgmt), as who logs in has proved by other
  // means who he is; then it must be one of the system's, too.
  std::optional<std::string> password;
  std::string remote;  // the client's address, PAM_RHOST
};

// PamAnswer is what PAM decided. What kept it from deciding is an error in its place.
struct PamAnswer {
  bool accepted = false;
  std::string reason;  // of a refusal, in libpam's words and those of the modules
};

// The octets of a question; and back, nullopt when they are not whole.
std::string EncodePamQuestion(const PamQuestion& question);
std::optional<PamQuestion> DecodePamQuestion(std::string_view octets);

// The octets of an answer, and back: kUnavailable when they are not whole.
std::string EncodePamAnswer(const StatusOr<PamAnswer>& answer);
StatusOr<PamAnswer> DecodePamAnswer(std::string_view octets);

}  // namespace postern::rt
