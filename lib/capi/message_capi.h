// A message as a callback of the C API sees it.
#pragma once

#include "postern/message.h"
#include <string>
#include <vector>

#include "lib/server/hooks.h"

struct postern_message {
  std::string reverse_path;
  std::vector<std::string> recipients;
  std::string_view content;
  std::string client_address;
  std::string helo;
  std::string auth_user;
  bool tls = false;
};

namespace postern::capi {

// MessageOf shows `view` as C sees it; it lends the view's content.
postern_message MessageOf(const server::IncomingView& view);

// VerdictOf reads what a callback decided.
server::IncomingVerdict VerdictOf(postern_status returned, const postern_message_verdict& verdict);

}  // namespace postern::capi
