// The `filter` of a listener: built-in filters and milters, asked phase by phase.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lib/core/base/log.h"
#include "lib/rt/world.h"
#include "lib/server/listener_slot.h"
#include "lib/service/filter/milter_rest.h"
#include "lib/service/smtp/session_filter.h"

namespace postern::server {

class FilterPrograms;
struct Hooks;

// FilterPlace is what filters work with. All of it outlives them.
struct FilterPlace {
  rt::World* world = nullptr;
  const FilterPrograms* programs = nullptr;
  service::MilterRests* milters = nullptr;  // null: no session knows of another's
  const Hooks* hooks = nullptr;
  // Where a filter keeps what it must hold of a message and is too large for memory; empty:
  // nowhere.
  std::string spool;
  LogSink* log = nullptr;
};

// MakeSessionFilter gives what filters one session of `view`'s listener; null when it has no
// filter and no hook asks for one. The session keeps the configuration that it began with.
std::unique_ptr<service::SessionFilter> MakeSessionFilter(rt::Executor* loop,
                                                          const ListenerSlot::View& view,
                                                          const service::SmtpSessionFacts& facts,
                                                          const FilterPlace& place);

// MakeNamedFilter gives the filter or chain that stands at `filter` in the configuration's filters,
// for one session; without the functions of an embedding program, which are behind listeners.
std::unique_ptr<service::SessionFilter> MakeNamedFilter(rt::Executor* loop,
                                                        std::shared_ptr<const Runtime> runtime,
                                                        int filter,
                                                        const service::SmtpSessionFacts& facts,
                                                        const FilterPlace& place);

// FilterObserver gets each member before it joins the chain and gives what joins instead; null:
// none does.
using FilterObserver = std::function<std::unique_ptr<service::SessionFilter>(
    const policy::Filter& filter, std::unique_ptr<service::SessionFilter> member)>;

// MakeObservedFilter is MakeNamedFilter with an observer; null where `filter` is kNoIndex.
std::unique_ptr<service::SessionFilter> MakeObservedFilter(rt::Executor* loop,
                                                           std::shared_ptr<const Runtime> runtime,
                                                           int filter,
                                                           const service::SmtpSessionFacts& facts,
                                                           const FilterPlace& place,
                                                           const FilterObserver& observer);

// NamesWanted says what the filters of `listener` want to know of a client's name.
struct NamesWanted {
  bool name = false;
  bool confirmation = false;
};
NamesWanted FilterNamesWanted(const policy::Config& config, const policy::Listener& listener);

}  // namespace postern::server
