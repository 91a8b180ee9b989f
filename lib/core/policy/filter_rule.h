// Built-in filters: `filter NAME phase PHASE match CONDITION DECISION`.
#pragma once

#include <string_view>
#include <vector>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/status.h"
#include "lib/core/mail/address.h"
#include "lib/core/mail/reply.h"
#include "lib/core/policy/model.h"
#include "lib/core/policy/table.h"

namespace postern::policy {

// FilterContext is what a built-in filter may ask about a session. What is not known yet in its
// phase is empty or null, and the parser lets no filter ask for it there. All of it is lent.
struct FilterContext {
  bool is_local_socket = false;
  IpAddress remote;               // meaningless when is_local_socket
  std::string_view reverse_name;  // empty when the client has none
  bool confirmed = false;         // reverse_name leads back to the client (FCrDNS)
  std::string_view helo;
  // In the phase `auth`: who logs in, before anybody looks at the password.
  bool authenticated = false;
  std::string_view auth_user;
  const mail::Address* sender = nullptr;
  const mail::Address* recipient = nullptr;
};

// FilterHolds tells whether the condition of `filter`, which is built in, holds. An error is a
// table's. Blocks as much as the table does.
StatusOr<bool> FilterHolds(const Filter& filter, const TableSet& tables,
                           const FilterContext& context);

// FilterReply is what a client hears of a filter that rejects or disconnects: the status that the
// filter's text is, or 421 where it is none.
mail::Reply FilterReply(const Filter& filter);

// FilterMembers gives the filters of `filter` (an index into config.filters) in their order: those
// of a chain, or itself alone. kNoIndex: none. They live as long as `config`.
std::vector<const Filter*> FilterMembers(const Config& config, int filter);

// FilterPhaseName gives the word of the language: "connect", "mail-from".
std::string_view FilterPhaseName(FilterPhase phase);

}  // namespace postern::policy
