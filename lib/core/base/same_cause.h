// A failure told in other words.
#pragma once

#include <string>

#include "lib/core/base/status.h"

namespace postern {

// SameCause makes an error of `code` and `message` for what `cause` was: the errno behind it stays
// (ErrnoOf), for whoever acts on that.
Status SameCause(const Status& cause, StatusCode code, std::string message);

}  // namespace postern
