// Mail that has been through the wrapper of its action goes on to where the action delivers.
#pragma once

#include "lib/service/deliver/local_deliverer.h"
#include "lib/service/deliver/program_deliverer.h"
#include "lib/service/relay/relay_deliverer.h"

namespace postern::server {

// WrappedSinkOf joins the deliverer that runs wrappers with those of mailboxes and of LMTP, which
// outlive it.
deliver::WrappedSink WrappedSinkOf(deliver::LocalDeliverer* local, relay::RelayDeliverer* lmtp);

}  // namespace postern::server
