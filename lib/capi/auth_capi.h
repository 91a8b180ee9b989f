// What was found out about one message, as the C API holds it.
#pragma once

#include <string>

#include "lib/core/trust/authenticate.h"

struct postern_auth {
  postern::trust::Authentication found;
  postern::trust::AuthenticateRequest request;
  std::string field;
  std::string json;
  std::string dmarc_json;
};
