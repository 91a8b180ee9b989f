// Steps of a session as callbacks of the C API see them.
#pragma once

#include "postern/filter.h"
#include <string>
#include <string_view>

#include "lib/service/smtp/backend.h"

struct postern_step {
  int32_t phase = -1;
  const postern::service::SmtpSessionFacts* facts = nullptr;
  std::string argument;
  std::string sender;
  std::string client_address;
  std::string_view message_id;
};

namespace postern::capi {

postern_step StepOf(const service::FilterQuestion& question);
postern_step StepOf(const service::FilterReport& report);

// VerdictOf reads what a callback decided.
service::FilterVerdict VerdictOf(postern_status returned, const postern_step_verdict& verdict);

}  // namespace postern::capi
