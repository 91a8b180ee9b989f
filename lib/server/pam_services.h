// The services of PAM that listeners name (`auth pam "NAME"`), before anybody logs in by them.
#pragma once

#include "lib/core/policy/diagnostic.h"
#include "lib/core/policy/model.h"
#include "lib/rt/pam.h"
#include "lib/rt/world.h"

namespace postern::server {

// PamServiceOf is the service of `listener`; one without a name has none.
inline rt::PamService PamServiceOf(const policy::Listener& listener) {
  return {listener.pam_service, listener.pam_folder};
}

// CheckPamServices says what is wrong with the services' files, as far as we may look: one that is
// not in the folder that the configuration names, and a folder or file that others than root may
// change, are errors, as whoever can write there becomes root; one that is not in /etc/pam.d is a
// warning, as PAM has its service `other` for those. Blocks.
void CheckPamServices(rt::World& world, const policy::Config& config,
                      policy::Diagnostics* diagnostics);

// AllowPamServices names the services to the helper that asks PAM, and has it start each of them
// once. It is an error at a listener's line when there is no such helper, as the server was not
// started by root or does not become another account, and when the helper cannot start a service:
// no libpam, or a file that it cannot read. Blocks: on the pool.
void AllowPamServices(rt::World& world, const policy::Config& config,
                      policy::Diagnostics* diagnostics);

}  // namespace postern::server
