// Mail that this process itself hands in: submissions of the embedding program, and notices of the
// queue. To the rules it comes by the local socket.
#pragma once

#include "lib/rt/world.h"
#include "lib/server/mail_gate.h"
#include "lib/server/server.h"
#include "lib/service/schedule/notice.h"

namespace postern::server {

// LocalFacts is the session such mail belongs to.
service::SmtpSessionFacts LocalFacts(const Runtime& runtime, std::string session_id);

// SubmitLocally queues `submission`, or says why not. On the main loop.
rt::Task<SubmissionResult> SubmitLocally(rt::World* world, std::shared_ptr<const Runtime> runtime,
                                         MailGate* gate, Submission submission);

// NoticeRoutes applies the rules to the address that a notice goes to.
class NoticeRoutes final : public schedule::NoticeRouter {
 public:
  NoticeRoutes(rt::World* world, RuntimeHolder* runtimes)
      : world_(world),
        runtimes_(runtimes),
        accounts_(&world->processes(), &world->files(), world->helper()) {}
  rt::Task<StatusOr<std::vector<queue::Envelope>>> Route(mail::Address recipient) override;

 private:
  rt::World* world_;
  RuntimeHolder* runtimes_;
  store::SystemAccounts accounts_;
};

}  // namespace postern::server
