#include "lib/server/endpoints.h"

#include <set>

#include "lib/core/base/strings.h"

namespace postern::server {
namespace {

using policy::AddressFamily;
using rt::InterfaceAddress;

bool IsOfFamily(const IpAddress& address, AddressFamily family) {
  if (family == AddressFamily::kInet4) return address.is_v4();
  if (family == AddressFamily::kInet6) return address.is_v6();
  return true;
}

// BelongsTo tells whether the address is the interface's or the group's that `target` names.
// OpenBSD calls the loopback interface lo0 and Linux lo: files of either run here.
bool BelongsTo(const InterfaceAddress& address, std::string_view target) {
  if (target == "all") return true;
  if (target == "egress") return address.has_default_route;
  if (target == "lo0" || target == "lo") return address.is_loopback;
  return address.interface_name == target;
}

std::string KnownInterfaces(const std::vector<InterfaceAddress>& interfaces) {
  std::set<std::string> names;
  for (const InterfaceAddress& each : interfaces) names.insert(each.interface_name);
  return StrJoin(names, ", ");
}

}  // namespace

StatusOr<std::vector<Endpoint>> ResolveListener(const policy::Listener& listener,
                                                const std::vector<InterfaceAddress>& interfaces) {
  std::vector<Endpoint> endpoints;
  std::string_view literal = listener.target;
  if (literal.size() > 2 && literal.front() == '[' && literal.back() == ']')
    literal = literal.substr(1, literal.size() - 2);
  if (const std::optional<IpAddress> address = IpAddress::Parse(literal)) {
    if (!IsOfFamily(*address, listener.family)) {
      return InvalidArgument(StrCat(listener.target, " is not an ",
                                    listener.family == AddressFamily::kInet4 ? "inet4" : "inet6",
                                    " address"));
    }
    endpoints.push_back(Endpoint{*address, listener.port, ""});
    return endpoints;
  }
  const bool by_name = listener.target == "localhost";
  for (const InterfaceAddress& each : interfaces) {
    if (!IsOfFamily(each.address, listener.family)) continue;
    if (!(by_name ? each.address.IsLoopback() : BelongsTo(each, listener.target))) continue;
    const Endpoint endpoint{each.address, listener.port, ""};
    if (std::find(endpoints.begin(), endpoints.end(), endpoint) == endpoints.end())
      endpoints.push_back(endpoint);
  }
  if (!endpoints.empty()) return endpoints;
  if (listener.target == "egress") {
    return NotFound(
        "no interface of this machine has a default route: name an interface or an address instead "
        "of egress");
  }
  return NotFound(StrCat("\"", listener.target,
                         "\" is no interface, group or address of this machine (interfaces: ",
                         KnownInterfaces(interfaces), "; groups: all, egress, lo0)"));
}

}  // namespace postern::server
