// What `postern check` says of a configuration: all that a start would say, what the file means
// (core/policy/advice.h), and what the machine and the DNS know of what it points to.
//
// Beyond advice.h's, the codes of findings are:
//   certificate-name     the listener's certificate does not carry its name      (warning)
//   certificate-expires  a certificate ends within two weeks                     (warning)
//   address              a listener's address cannot be had on this machine      (error)
//   port-taken           another program listens where this server would         (error)
//   spool                the folder of the queue cannot be made or written       (error; a warning
//                        for want of permission, as whoever checks may not be who serves)
//   postmaster           mail for postmaster of a domain here has nowhere to go  (warning)
//   alias-value          an alias that means nothing: its mail is answered 424   (warning)
//   alias-include        an :include: that cannot be read, or is not obeyed      (warning)
//   alias-circle         aliases that lead back to themselves                    (warning)
//   backup-mx            `backup mx` names the best exchanger of a domain        (warning)
//   filter-away          a filter's program is not there, or not its user        (warning)
//   mda-program          a program of mda, or of a wrapper, that cannot be run      (warning)
//   pam-service          PAM has no file of the service that logins are checked by (warning)
//   milter-away          nobody answers at a milter's socket                     (warning)
#pragma once

#include <string>
#include <vector>

#include "lib/core/policy/advice.h"
#include "lib/core/policy/diagnostic.h"
#include "lib/rt/task.h"
#include "lib/rt/world.h"
#include "lib/server/server.h"

namespace postern::server {

struct ConfigCheckOptions {
  // codes of findings that are left out: warnings, and errors that are this machine's alone
  // (address, port-taken, spool), for who checks the file of another one
  std::vector<std::string> ignore;
  policy::AdviceLimits advice;
  Duration expires_soon = absl::Hours(14 * 24);
  // How long the DNS may take for all questions together.
  Duration dns_timeout = absl::Seconds(5);
  // How long each milter's socket may take to answer.
  Duration milter_timeout = absl::Seconds(2);
  // Domains whose exchangers are looked up for `backup`.
  size_t max_backup_domains = 20;
};

// CheckConfig reads the configuration of `server` and says everything about it, sorted by place.
// Ports are tried and let go of at once, and so is the spool (a folder or file that is gone again),
// unless a server of ours holds the spool: then they are its own. Nothing else is changed. A task
// of the main loop; it blocks for files.
rt::Task<policy::Diagnostics> CheckConfig(rt::World* world, const ServerOptions* server,
                                          ConfigCheckOptions options);

}  // namespace postern::server
