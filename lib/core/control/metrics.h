// The numbers of a server as OpenMetrics text (version 1.0.0).
#pragma once

#include <string>

#include "lib/core/control/stats.h"

namespace postern::control {

// OpenMetrics writes every family of the table in metrics.cc, at zero where nothing happened yet,
// and "# EOF". The labels are of that table: none comes from outside.
std::string OpenMetrics(const StatBook& book);

}  // namespace postern::control
