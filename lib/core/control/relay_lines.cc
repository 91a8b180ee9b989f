#include "lib/core/control/relay_lines.h"

#include "lib/core/base/strings.h"
#include "lib/core/control/stats.h"

namespace postern::control {

std::string SinceText(std::optional<Duration> since) {
  return since.has_value() ? UptimeText(absl::ToInt64Seconds(*since)) : "-";
}

std::string HostText(const HostLine& host) {
  return StrCat(Escape(host.address), " ", Escape(host.name), " refcount=", host.references,
                " nconn=", host.connections, " lastconn=", SinceText(host.last), "\n");
}

std::string RouteText(const RouteLine& route) {
  std::optional<Duration> timeout;
  // What is left of a second is one: a route that is disabled has a timeout.
  if (route.timeout > absl::ZeroDuration()) timeout = absl::Ceil(route.timeout, absl::Seconds(1));
  return StrCat(route.id, ". ", Escape(route.source), " <-> ", Escape(route.address), " (",
                Escape(route.host), ") ", route.is_new ? "N" : "-", route.disabled ? "D" : "-",
                route.lowering ? "Q" : "-", route.keepalive ? "K" : "-",
                " nconn=", route.connections, " nerror=0 penalty=", route.penalty,
                " timeout=", SinceText(timeout), "\n");
}

std::string RelayText(const RelayLine& relay) {
  std::string text = StrCat(Escape(relay.name), " refcount=", relay.connections,
                            " ntask=", relay.tasks, " nconn=", relay.connections,
                            " lastconn=", SinceText(relay.last), " timeout=- wait=-\n");
  for (const RelayLine::Connector& each : relay.connectors) {
    StrAppend(text, "  connector ", Escape(each.source), " refcount=", each.connections,
              " nconn=", each.connections, " lastconn=", SinceText(each.last),
              " timeout=- flags=-\n");
  }
  return text;
}

std::string RelayName(std::string_view destination, uint16_t port, std::string_view protocol,
                      bool is_host) {
  return StrCat("[relay:", destination, port == 0 ? std::string() : StrCat(",port=", port), ",",
                protocol, is_host ? ",mx]" : "]");
}

}  // namespace postern::control
