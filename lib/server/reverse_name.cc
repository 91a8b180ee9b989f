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

rt::Task<bool> LeadsBack(resolve::Resolver* resolver, rt::Executor* loop, std::string name,
                         IpAddress address, Instant deadline) {
  StatusOr<dns::Name> asked = dns::Name::Parse(name);
  if (!asked.ok()) co_return false;
  const dns::Type type = address.is_v6() ? dns::Type::kAaaa : dns::Type::kA;
  const dns::Answer answer = co_await resolver->Resolve(*loop, *asked, type, deadline);
  for (const dns::Record& record : answer.records) {
    const auto* found = std::get_if<dns::AddressData>(&record.data);
    if (found != nullptr && found->address == address) co_return true;
  }
  co_return false;
}

}  // namespace postern::server
