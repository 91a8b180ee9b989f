#include "lib/core/policy/filter_rule.h"

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

// PlainText is an address as tables know it: without the quotes that SMTP may need.
std::string PlainText(const mail::Address* address) {
  if (address == nullptr || address->empty()) return "";
  return address->domain.empty() ? address->local_part
                                 : StrCat(address->local_part, "@", address->domain);
}

StatusOr<bool> Ask(const Filter& filter, const TableSet& tables, Service service,
                   std::string_view key) {
  Table* table = tables.Get(filter.criterion.table);
  if (table == nullptr) return Unavailable("the table is not loaded");
  return table->Match(filter.criterion.regex ? Service::kRegex : service, key);
}

StatusOr<bool> Holds(const Filter& filter, const TableSet& tables, const FilterContext& c) {
  const bool has_table = filter.criterion.table != kNoIndex;
  switch (filter.test) {
    case FilterTest::kFcrdns: return c.confirmed;
    case FilterTest::kRdns:
      if (!has_table || c.reverse_name.empty()) return !c.reverse_name.empty();
      return Ask(filter, tables, Service::kDomain, c.reverse_name);
    case FilterTest::kSource:
      // As `from src` knows the socket.
      return Ask(filter, tables, Service::kNetaddr,
                 c.is_local_socket ? std::string("local") : c.remote.ToString());
    case FilterTest::kHelo: return Ask(filter, tables, Service::kDomain, c.helo);
    case FilterTest::kAuth:
      if (!has_table || !c.authenticated) return c.authenticated;
      return Ask(
          filter, tables,
          c.auth_user.find('@') == std::string_view::npos ? Service::kString : Service::kMailaddr,
          c.auth_user);
    case FilterTest::kMailFrom: return Ask(filter, tables, Service::kMailaddr, PlainText(c.sender));
    case FilterTest::kRcptTo:
      return Ask(filter, tables, Service::kMailaddr, PlainText(c.recipient));
  }
  return false;
}

}  // namespace

StatusOr<bool> FilterHolds(const Filter& filter, const TableSet& tables,
                           const FilterContext& context) {
  const StatusOr<bool> holds = Holds(filter, tables, context);
  if (!holds.ok()) return holds.status();
  return *holds != filter.criterion.negated;
}

mail::Reply FilterReply(const Filter& filter) {
  StatusOr<mail::Reply> reply = mail::Reply::FromText(filter.argument);
  if (reply.ok()) return *std::move(reply);
  return mail::Reply(421, {}, "Internal server error");
}

std::vector<const Filter*> FilterMembers(const Config& config, int filter) {
  std::vector<const Filter*> members;
  if (filter == kNoIndex) return members;
  const Filter& named = config.filters[static_cast<size_t>(filter)];
  if (named.kind != FilterKind::kChain) return {&named};
  for (const int member : named.chain)
    members.push_back(&config.filters[static_cast<size_t>(member)]);
  return members;
}

std::string_view FilterPhaseName(FilterPhase phase) {
  switch (phase) {
    case FilterPhase::kConnect: return "connect";
    case FilterPhase::kHelo: return "helo";
    case FilterPhase::kEhlo: return "ehlo";
    case FilterPhase::kStartTls: return "starttls";
    case FilterPhase::kAuth: return "auth";
    case FilterPhase::kMailFrom: return "mail-from";
    case FilterPhase::kRcptTo: return "rcpt-to";
    case FilterPhase::kData: return "data";
    case FilterPhase::kCommit: return "commit";
  }
  return "";
}

}  // namespace postern::policy
