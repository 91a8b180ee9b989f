#include "lib/core/trust/iprev.h"

#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"

namespace postern::trust {
namespace {

bool HasAddress(const dns::Answer& answer, const IpAddress& client) {
  return std::any_of(answer.records.begin(), answer.records.end(), [&](const dns::Record& record) {
    const auto* data = std::get_if<dns::AddressData>(&record.data);
    return data != nullptr && data->address == client;
  });
}

Iprev Say(Iprev iprev, IprevResult result, const char* reason, std::string explanation) {
  iprev.result = result;
  iprev.reason = reason;
  iprev.explanation = StrCat("iprev ", IprevResultName(result), ": ", explanation);
  return iprev;
}

}  // namespace

const char* IprevResultName(IprevResult result) {
  switch (result) {
    case IprevResult::kPass: return "pass";
    case IprevResult::kFail: return "fail";
    case IprevResult::kTempError: return "temperror";
    case IprevResult::kPermError: return "permerror";
  }
  return "temperror";
}

dns::Inquiry<Iprev> CheckIprev(IpAddress client, IprevLimits limits) {
  Iprev iprev;
  const std::string who = client.ToString();
  dns::Name reverse = dns::ReverseName(client.bytes());
  const dns::Answer names = co_await dns::Ask{std::move(reverse), dns::Type::kPtr};
  if (names.temporary())
    co_return Say(
        std::move(iprev), IprevResult::kTempError, "dns_failed",
        StrCat("the name of ", who, " could not be asked for (", KindName(names.kind), ")"));
  std::vector<dns::Question> questions;
  for (const dns::Record& record : names.records) {
    const auto* data = std::get_if<dns::NameData>(&record.data);
    if (data == nullptr) continue;
    if (questions.size() == limits.max_names) break;
    iprev.names.push_back(data->name.ToString());
    questions.push_back(
        dns::Question{data->name, client.is_v6() ? dns::Type::kAaaa : dns::Type::kA});
  }
  if (iprev.names.empty())
    co_return Say(std::move(iprev), IprevResult::kPermError, "no_name",
                  StrCat(who, " has no name in the DNS"));
  iprev.name = iprev.names.front();

  const std::vector<dns::Answer> addresses = co_await dns::AskAll{std::move(questions)};
  bool failed = false;
  bool any = false;
  for (size_t i = 0; i < addresses.size(); ++i) {
    failed = failed || addresses[i].temporary();
    any = any || addresses[i].ok();
    if (!HasAddress(addresses[i], client)) continue;
    iprev.name = iprev.names[i];
    std::string text = StrCat(who, " is ", iprev.name, ", which has that address");
    co_return Say(std::move(iprev), IprevResult::kPass, "address_confirmed", std::move(text));
  }
  std::string said = StrCat(who, " calls itself ", StrJoin(iprev.names, ", "), ", ");
  if (failed)
    co_return Say(std::move(iprev), IprevResult::kTempError, "dns_failed",
                  said + "whose address could not be asked for");
  if (!any)
    co_return Say(
        std::move(iprev), IprevResult::kPermError, "no_address",
        said + (client.is_v6() ? "which has no IPv6 address" : "which has no IPv4 address"));
  co_return Say(std::move(iprev), IprevResult::kFail, "address_not_confirmed",
                said + "which has other addresses");
}

}  // namespace postern::trust
