#include "lib/service/resolve/resolver.h"

namespace postern::resolve {

ZoneResolver::ZoneResolver(dns::ZoneData zone) : zone_(std::move(zone)) {}
ZoneResolver::~ZoneResolver() = default;

rt::Task<dns::Answer> ZoneResolver::Resolve(rt::Executor& loop, dns::Name name, dns::Type type,
                                            Instant deadline) {
  dns::Answer answer = zone_.Query(name, type);
  if (answer.kind == dns::Answer::Kind::kTimeout) {
    rt::Event never(&loop);
    co_await never.Wait(deadline);
  } else {
    // A resolver takes at least a turn, so that no caller comes to rely on less.
    co_await loop.Yield();
  }
  co_return answer;
}

}  // namespace postern::resolve
