#include "lib/core/base/same_cause.h"

#include <utility>

namespace postern {

Status SameCause(const Status& cause, StatusCode code, std::string message) {
  Status status = Error(code, std::move(message));
  cause.ForEachPayload([&status](absl::string_view name, const absl::Cord& payload) {
    status.SetPayload(name, payload);
  });
  return status;
}

}  // namespace postern
