#include "lib/server/reverse_name.h"

#include "lib/core/base/strings.h"

namespace postern::server {

rt::Task<std::string> FindReverseName(resolve::Resolver* resolver, rt::Executor* loop,
                                      IpAddress address, Instant deadline) {
  const dns::Answer answer = co_await resolver->Resolve(*loop, dns::ReverseName(address.bytes()),
                                                        dns::Type::kPtr, deadline);
  if (!answer.ok()) co_return std::string();
  const auto* name = std::get_if<dns::NameData>(&answer.records[0].data);
  if (name == nullptr) co_return std::string();
  co_return AsciiLower(name->name.ToString());
}

}  // namespace postern::server
