// What a listen line asks of the sessions that come by it, in the words of the services.
#pragma once

#include <memory>

#include "lib/rt/world.h"
#include "lib/server/listener_slot.h"
#include "lib/service/imap/backend.h"
#include "lib/service/smtp/backend.h"

namespace postern::server {

// SmtpListenerOf is for a listener that speaks SMTP. `slot` says which line of which configuration
// it is; `endpoint` is where it is bound. What changes with a reload is asked of the slot. `world`
// outlives the result. `tokens`: somebody judges OAuth tokens, so that their mechanisms are
// offered.
std::shared_ptr<const service::SmtpListener> SmtpListenerOf(rt::World* world,
                                                            std::shared_ptr<ListenerSlot> slot,
                                                            const Endpoint& endpoint,
                                                            bool tokens = false);

// ImapListenerOf is the same for IMAP.
std::shared_ptr<const service::ImapListener> ImapListenerOf(rt::World* world,
                                                            std::shared_ptr<ListenerSlot> slot,
                                                            const Endpoint& endpoint,
                                                            bool tokens = false);

}  // namespace postern::server
