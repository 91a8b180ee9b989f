// What a Server is made of. For server*.cc alone.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "lib/server/action_archive.h"
#include "lib/server/config_resolver.h"
#include "lib/server/control_gate.h"
#include "lib/server/filter_programs.h"
#include "lib/server/imap_gate.h"
#include "lib/server/lmtp_routes.h"
#include "lib/server/local_session.h"
#include "lib/server/log_tap.h"
#include "lib/server/mail_gate.h"
#include "lib/server/offline_mail.h"
#include "lib/server/pam_logins.h"
#include "lib/server/ports.h"
#include "lib/server/privileges.h"
#include "lib/server/relay_routes.h"
#include "lib/server/runtime.h"
#include "lib/server/server.h"
#include "lib/service/control/control_service.h"
#include "lib/service/deliver/local_deliverer.h"
#include "lib/service/deliver/program_deliverer.h"
#include "lib/service/imap/service.h"
#include "lib/service/relay/relay_deliverer.h"
#include "lib/service/schedule/queue_audit.h"
#include "lib/service/schedule/scheduler.h"
#include "lib/service/smtp/service.h"
#include "lib/store/mailbox/change_hub.h"

namespace postern::server {

// kPauseWithoutMemory is how long what needs memory waits before it tries again.
inline constexpr Duration kPauseWithoutMemory = absl::Milliseconds(100);

// Worker is what serves the connections of one loop.
struct Worker {
  std::unique_ptr<ImapGate> imap_gate;
  std::unique_ptr<service::SmtpService> smtp;
  std::unique_ptr<service::ImapService> imap;
  // The tasks that stop the two, on this loop. They tell the main loop that they are done and only
  // then end, so they are kept until the loops have ended: with the server.
  std::unique_ptr<rt::TaskGroup> stops;
};

struct Server::Parts {
  rt::World* world = nullptr;
  std::unique_ptr<LogTap> tap;
  LogSink* log = nullptr;  // the tap
  ServerOptions options;
  std::unique_ptr<RuntimeHolder> runtimes;
  policy::ConfigCopy first;                // of what it was made with
  std::unique_ptr<ActionArchive> archive;  // null with a queue in memory
  mailbox::ChangeHub changes;
  std::unique_ptr<LocalTargets> targets;
  std::unique_ptr<MailStores> stores;
  std::unique_ptr<ConfigResolver> own_resolver;
  resolve::Resolver* resolver = nullptr;
  std::unique_ptr<store::Queue> queue;
  policy::QueueSettings sealed;  // as they were when it was opened
  std::unique_ptr<deliver::LocalDeliverer> local;
  std::unique_ptr<RelayRoutes> relay_routes;
  std::unique_ptr<relay::RelayDeliverer> relay;
  std::unique_ptr<LmtpRoutes> lmtp_routes;
  std::unique_ptr<relay::RelayDeliverer> lmtp;
  std::unique_ptr<deliver::ProgramDeliverer> programs;
  std::unique_ptr<NoticeRoutes> notices;
  std::unique_ptr<schedule::Scheduler> scheduler;
  std::unique_ptr<schedule::QueueAudit> audit;
  std::unique_ptr<FilterPrograms> filters;
  std::unique_ptr<PamLogins> pam;
  std::unique_ptr<LoginGate> login_gate;
  std::unique_ptr<MailGate> mail_gate;
  std::vector<Worker> workers;
  std::unique_ptr<Ports> ports;
  std::vector<Endpoint> endpoints;
  std::string spool;
  std::optional<PrivilegeNeeds> kept;  // what was kept of the privileges that were given up
  std::mutex reload_mutex;
  std::atomic<bool> stopping = false;
  std::atomic<bool> started = false;  // from the end of Start to the beginning of Stop
  std::unique_ptr<ControlGate> control_gate;
  std::unique_ptr<service::ControlService> control;
  std::unique_ptr<rt::Listener> control_listener;
  std::unique_ptr<OfflineMail> offline;
  rt::TaskGroup control_tasks;
  rt::TaskGroup tasks;  // the scheduler and the audit
};

}  // namespace postern::server
