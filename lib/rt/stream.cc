#include "lib/rt/stream.h"

namespace postern::rt {
namespace {
constexpr std::string_view kWouldBlock = "nothing to read yet";
}  // namespace

Status WouldBlock() { return Unavailable(std::string(kWouldBlock)); }

bool IsWouldBlock(const Status& status) {
  return status.code() == StatusCode::kUnavailable && Message(status) == kWouldBlock;
}

Task<StatusOr<size_t>> ReadSome(Stream& stream, std::span<char> into, Instant deadline) {
  for (;;) {
    POSTERN_CO_RETURN_IF_ERROR(co_await stream.WaitReadable(deadline));
    StatusOr<size_t> taken = stream.TryRead(into);
    if (taken.ok() || !IsWouldBlock(taken.status())) co_return taken;
  }
}

}  // namespace postern::rt
