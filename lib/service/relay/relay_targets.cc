// From the name of a next server to the addresses that are tried.
#include "lib/service/relay/made_reply.h"
#include "lib/service/relay/relay_deliverer.h"

namespace postern::relay {

// FindTargets turns a route into addresses, best first; none and a failure otherwise.
rt::Task<std::vector<queue::RelayTarget>> RelayDeliverer::FindTargets(RelaySettings settings,
                                                                      mail::Reply* failure) {
  std::vector<queue::RelayTarget> targets;
  const queue::RelayRoute& route = settings.route;
  if (!route.socket_path.empty()) {
    targets.push_back(queue::RelayTarget{route.host, IpAddress(), route.socket_path});
    co_return targets;
  }
  if (route.address) {
    targets.push_back(queue::RelayTarget{
        route.host.empty() ? route.address->ToString() : route.host, *route.address});
    co_return targets;
  }
  const Instant deadline = loop_.Now() + options_.resolve_timeout;
  StatusOr<dns::Name> name = dns::Name::Parse(route.host);
  if (!name.ok()) {
    *failure = Made(550, 1, 2, std::string(Message(name.status())));
    co_return targets;
  }
  queue::MxPlan plan;
  if (route.by_mx) {
    const dns::Answer mx = co_await resolver_.Resolve(loop_, *name, dns::Type::kMx, deadline);
    plan = queue::PlanMx(mx, route.host, settings.own_names, settings.backup_mx,
                         [this](uint64_t n) { return world_.random().Below(n); });
    if (plan.hosts.empty()) {
      *failure = plan.failure;
      co_return targets;
    }
  } else {
    plan.hosts.push_back(queue::MxHost{route.host, 0});
  }
  bool temporary = false;
  bool mismatch = false;
  std::string detail;
  for (const queue::MxHost& host : plan.hosts) {
    if (targets.size() >= queue::kMaxRelayTargets || stopping_) break;
    StatusOr<dns::Name> host_name = dns::Name::Parse(host.name);
    if (!host_name.ok()) continue;
    size_t found = 0;
    for (const dns::Type type : {dns::Type::kAaaa, dns::Type::kA}) {
      const RelayLimits::Family family = settings.limits.family;
      const bool wanted = family == RelayLimits::Family::kAny ||
                          (family == RelayLimits::Family::kV4) == (type == dns::Type::kA);
      const bool source_fits =
          !settings.source || settings.source->is_v4() == (type == dns::Type::kA);
      if (!wanted || !source_fits) {
        mismatch = true;
        continue;
      }
      const dns::Answer answer = co_await resolver_.Resolve(loop_, *host_name, type, deadline);
      if (answer.temporary()) {
        temporary = true;
        detail = answer.detail;
      }
      for (const dns::Record& record : answer.records) {
        const auto* address = std::get_if<dns::AddressData>(&record.data);
        if (address == nullptr || found >= queue::kMaxAddressesPerHost) continue;
        ++found;
        targets.push_back(queue::RelayTarget{host.name, address->address});
      }
    }
  }
  if (targets.empty()) {
    if (temporary) {
      *failure = Made(451, 4, 3, StrCat("Temporary failure in address lookup: ", detail));
    } else if (mismatch) {
      *failure = Made(451, 4, 4, "Address family mismatch on destination MXs");
    } else {
      // RFC 5321 §5.1: an MX without address is an error of theirs; a domain with neither takes no
      // mail.
      *failure = Made(550, 1, 2, "No MX found for destination");
    }
  }
  co_return targets;
}

}  // namespace postern::relay
