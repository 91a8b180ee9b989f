#include "lib/core/queue/relay_plan.h"

#include <algorithm>

#include "lib/core/base/strings.h"

namespace postern::queue {
namespace {

mail::Reply MakeReply(int code, int subject, int detail, std::string text) {
  return mail::Reply(code, mail::EnhancedStatus{code / 100, subject, detail}, std::move(text));
}

bool IsOwn(std::string_view name, const std::vector<std::string>& own_names) {
  for (const std::string& own : own_names) {
    if (EqualsIgnoreCase(own, name)) return true;
  }
  return false;
}

}  // namespace

MxPlan PlanMx(const dns::Answer& answer, std::string_view domain,
              const std::vector<std::string>& own_names, std::string_view backup_mx,
              const std::function<uint64_t(uint64_t)>& below) {
  MxPlan plan;
  switch (answer.kind) {
    case dns::Answer::Kind::kNxDomain:
      plan.failure = MakeReply(550, 1, 2, StrCat("Domain does not exist: ", Escape(domain)));
      return plan;
    case dns::Answer::Kind::kServFail:
    case dns::Answer::Kind::kTimeout:
      plan.failure =
          MakeReply(451, 4, 3, StrCat("Temporary failure in MX lookup: ", answer.detail));
      return plan;
    case dns::Answer::Kind::kNoData:
      // RFC 5321 §5.1: the domain is its own server, preference 0.
      plan.implicit = true;
      plan.hosts.push_back(MxHost{std::string(domain), 0});
      return plan;
    case dns::Answer::Kind::kOk: break;
  }
  bool null_mx = false;
  for (const dns::Record& record : answer.records) {
    const auto* mx = std::get_if<dns::MxData>(&record.data);
    if (mx == nullptr) continue;
    if (mx->exchange.is_root()) {
      null_mx = true;
    } else {
      plan.hosts.push_back(MxHost{mx->exchange.ToString(), mx->preference});
    }
  }
  if (plan.hosts.empty()) {
    plan.failure = null_mx ? MakeReply(556, 1, 10, "Domain does not accept mail (null MX)")
                           : MakeReply(451, 4, 3, "No MX found for destination");
    return plan;
  }
  // Shuffled first, then sorted by preference with equals left in their order.
  for (size_t i = plan.hosts.size(); i > 1; --i) std::swap(plan.hosts[i - 1], plan.hosts[below(i)]);
  std::stable_sort(plan.hosts.begin(), plan.hosts.end(),
                   [](const MxHost& a, const MxHost& b) { return a.preference < b.preference; });
  const auto own = std::find_if(plan.hosts.begin(), plan.hosts.end(), [&](const MxHost& host) {
    return IsOwn(host.name, own_names) || EqualsIgnoreCase(host.name, backup_mx);
  });
  if (own != plan.hosts.end()) {
    const uint16_t limit = own->preference;
    const std::string best = own->name;
    std::erase_if(plan.hosts, [limit](const MxHost& host) { return host.preference >= limit; });
    if (plan.hosts.empty() && EqualsIgnoreCase(best, backup_mx)) {
      plan.failure = MakeReply(451, 4, 4,
                               StrCat("No MX found for destination: none of ", Escape(domain),
                                      " is preferred over ", Escape(best), ", which backup names"));
      return plan;
    }
    if (plan.hosts.empty()) {
      plan.failure =
          MakeReply(554, 4, 6, StrCat("Mail for ", Escape(domain), " loops back to this server"));
      return plan;
    }
  }
  if (plan.hosts.size() > kMaxMxHosts) plan.hosts.resize(kMaxMxHosts);
  return plan;
}

RelayPlan::RelayPlan(RelayTls tls, std::vector<RelayTarget> targets)
    : tls_(tls), targets_(std::move(targets)) {
  if (targets_.size() > kMaxRelayTargets) targets_.resize(kMaxRelayTargets);
}

const RelayTarget* RelayPlan::current() const {
  return at_ < targets_.size() ? &targets_[at_] : nullptr;
}

void RelayPlan::OnUnreachable(mail::Reply reason) {
  all_permanent_ = all_permanent_ && reason.IsPermanent();
  last_ = std::move(reason);
  ++at_;
  plain_ = false;
}

void RelayPlan::OnTlsFailure(mail::Reply reason) {
  all_permanent_ = false;
  last_ = std::move(reason);
  if (tls_ == RelayTls::kOpportunistic && !plain_) {
    plain_ = true;
    return;
  }
  ++at_;
  plain_ = false;
}

mail::Reply RelayPlan::failure() const {
  if (last_.code == 0) return MakeReply(451, 4, 1, "Network error on destination MXs");
  if (all_permanent_ || last_.IsTransient()) return last_;
  // A mixture: some could not be reached, so nobody has spoken the last word.
  return MakeReply(451, 4, 1, last_.ToString());
}

RelayOutcome OutcomeOf(const mail::Reply& reply, bool from_server) {
  if (reply.code >= 200 && reply.code < 300)
    return from_server ? RelayOutcome::kDelivered : RelayOutcome::kTemporary;
  return reply.IsPermanent() ? RelayOutcome::kPermanent : RelayOutcome::kTemporary;
}

}  // namespace postern::queue
