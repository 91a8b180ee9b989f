// Keys and clocks that the shims of DKIM and ARC share.
#pragma once

#include "postern/dkim.h"
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/time.h"
#include "lib/core/trust/dkim_key.h"

struct postern_dkim_key {
  std::shared_ptr<const postern::trust::PrivateKey> key;
  std::string pem;
  std::string record;
  std::string zone_line;
};

namespace postern::capi {

// Wall gives `unix_s`, or the machine's clock for 0.
WallTime Wall(int64_t unix_s);

// Names splits a list with colons.
std::vector<std::string> Names(std::string_view list);

}  // namespace postern::capi
