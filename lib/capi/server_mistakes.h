// How the host of a server hears what is wrong with its configuration: of errors by the
// postern_error, of warnings by the log.
#pragma once

#include <string>

#include "lib/core/base/log.h"
#include "lib/core/policy/diagnostic.h"

namespace postern::capi {

// AllErrors gives the errors, one a line, the first hundred of them.
std::string AllErrors(const policy::Diagnostics& diagnostics);

// LogWarnings writes the warnings to the log, the first hundred of them. Errors go to the caller,
// in the postern_error, and are said once.
void LogWarnings(LogSink* log, const policy::Diagnostics& diagnostics);

}  // namespace postern::capi
