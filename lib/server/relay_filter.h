// The `filter` of a relay action: what goes out passes it first.
#pragma once

#include <memory>

#include "lib/server/filters.h"
#include "lib/service/relay/route_source.h"

namespace postern::server {

class Runtime;

// RelayFilterFor gives what takes a message through the filter of `action`, which has one, on
// `place.world`'s main loop. The filter sees the session in which the mail came in (the client, its
// names, its login), the envelope as it goes out, and all recipients of the attempt: see
// service/filter/passage.h. Built-in filters, programs and milters are asked as those of a listener
// are; the functions of an embedding program are behind every listener and not here, so that they
// see a message once. It is asked anew in each attempt. A filter that is not there (its program is
// not in force, its milter away) leads to 451: the mail waits.
relay::OutgoingFilter RelayFilterFor(std::shared_ptr<const Runtime> runtime,
                                     const policy::Action& action, const FilterPlace& place);

}  // namespace postern::server
