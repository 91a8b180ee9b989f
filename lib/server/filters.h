// The `filter` of a listener: its built-in filters, asked phase by phase.
#pragma once

#include <memory>

#include "lib/core/base/log.h"
#include "lib/server/listener_slot.h"
#include "lib/service/smtp/session_filter.h"

namespace postern::server {

class FilterPrograms;
struct Hooks;

// MakeSessionFilter gives what filters one session of `view`'s listener; null when it has no
// filter and no hook asks for one. The session keeps the configuration that it began with. What is
// given outlives it.
std::unique_ptr<service::SessionFilter> MakeSessionFilter(rt::Executor* loop,
                                                          const ListenerSlot::View& view,
                                                          const service::SmtpSessionFacts& facts,
                                                          const FilterPrograms* programs,
                                                          const Hooks& hooks, LogSink* log);

// NamesWanted says what the filters of `listener` want to know of a client's name.
struct NamesWanted {
  bool name = false;
  bool confirmation = false;
};
NamesWanted FilterNamesWanted(const policy::Config& config, const policy::Listener& listener);

}  // namespace postern::server
