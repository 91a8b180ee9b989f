// From the name of a next server to the addresses that are tried, less those that are ours (RFC
// 5321 §5.1: an MX that is us, and those that are no better, would loop).
#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/service/relay/made_reply.h"
#include "lib/service/relay/relay_deliverer.h"

namespace postern::relay {

mail::Reply RelayDeliverer::LoopReply(const RelaySettings& settings) {
  const queue::RelayRoute& route = settings.route;
  const std::string host = route.address ? route.address->ToString() : route.host;
  std::string text = route.by_mx
                         ? StrCat("Mail for ", Escape(host, 255), " loops back to this server")
                         : StrCat("Mail by ", Escape(host, 255), " port ", route.port,
                                  " loops back to this server");
  if (!settings.loop_advice.empty()) StrAppend(text, ": ", settings.loop_advice);
  return Made(554, 4, 6, std::move(text));
}

// FindTargets turns a route into addresses, best first; none and a failure otherwise.
rt::Task<std::vector<queue::RelayTarget>> RelayDeliverer::FindTargets(RelaySettings settings,
                                                                      mail::Reply* failure) {
  std::vector<queue::RelayTarget> targets;
  const queue::RelayRoute& route = settings.route;
  if (!route.socket_path.empty()) {
    targets.push_back(queue::RelayTarget{route.host, IpAddress(), route.socket_path});
    co_return targets;
  }
  const auto is_own = [&settings, &route](const IpAddress& address) {
    return settings.own_listener && settings.own_listener(address, route.port);
  };
  if (route.address) {
    if (is_own(*route.address)) {
      *failure = LoopReply(settings);
      co_return targets;
    }
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
      const bool loops = plan.failure.code == 554 && plan.failure.status.subject == 4 &&
                         plan.failure.status.detail == 6;
      *failure = loops ? LoopReply(settings) : plan.failure;
      co_return targets;
    }
  } else {
    plan.hosts.push_back(queue::MxHost{route.host, 0});
  }
  bool temporary = false;
  bool mismatch = false;
  bool loops = false;
  std::string detail;
  std::vector<uint16_t> preferences;  // of each target
  for (const queue::MxHost& host : plan.hosts) {
    if (targets.size() >= queue::kMaxRelayTargets || stopping_) break;
    StatusOr<dns::Name> host_name = dns::Name::Parse(host.name);
    if (!host_name.ok()) continue;
    size_t found = 0;
    bool ours = false;
    const bool mismatch_before = mismatch;
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
        if (is_own(address->address)) {
          ours = true;
          continue;
        }
        ++found;
        preferences.push_back(host.preference);
        targets.push_back(queue::RelayTarget{host.name, address->address});
      }
    }
    if (!ours) continue;
    loops = true;
    if (!route.by_mx) continue;  // another address of the named server may be another machine
    // It is us by another name, and whoever is no better would send the mail here.
    while (!targets.empty() && preferences.back() >= host.preference) {
      targets.pop_back();
      preferences.pop_back();
    }
    mismatch = mismatch_before;
    break;
  }
  if (targets.empty()) {
    if (temporary) {
      *failure = Made(451, 4, 3, StrCat("Temporary failure in address lookup: ", detail));
    } else if (loops && (!mismatch || !route.by_mx)) {
      *failure = LoopReply(settings);
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
