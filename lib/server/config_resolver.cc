#include "lib/server/config_resolver.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/diagnostic.h"
#include "lib/store/table/source_loader.h"

namespace postern::server {
namespace {

constexpr uint64_t kMaxZoneBytes = 64 << 20;

}  // namespace

StatusOr<std::unique_ptr<resolve::Resolver>> MakeResolver(rt::World& world,
                                                          const policy::Config& config) {
  if (config.resolver_zone.empty())
    return resolve::NewUnboundResolver(world, resolve::UnboundOptions());
  const StatusOr<std::string> text =
      store::ReadTextFile(world.files(), config.resolver_zone, kMaxZoneBytes);
  if (!text.ok()) return text.status();
  StatusOr<dns::ZoneData> zone = dns::ZoneData::Parse(*text);
  if (!zone.ok()) {
    return InvalidArgument(
        policy::MakeError(config.resolver_location,
                          StrCat(config.resolver_zone, ": ", Message(zone.status())))
            .ToString());
  }
  return std::unique_ptr<resolve::Resolver>(
      std::make_unique<resolve::ZoneResolver>(std::move(*zone)));
}

}  // namespace postern::server
