// The session of an explanation: the server's own, and a client that says what the question has.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lib/core/smtp/server_session.h"
#include "lib/server/explain.h"
#include "lib/server/explain_filters.h"
#include "lib/server/mail_gate.h"
#include "lib/service/smtp/message_intake.h"

namespace postern::server {

// ExplainDialog is the server's side of one session, and a client that says what it is given.
class ExplainDialog {
 public:
  // `trace` is where the gate's expansions leave their steps.
  ExplainDialog(rt::World* world, MailGate* gate, const policy::Trace* trace,
                service::SmtpSessionFacts facts, const ExplainQuestion* question,
                ExplainFilters* filters, Explanation* out)
      : world_(world),
        gate_(gate),
        filters_(filters),
        trace_(trace),
        facts_(std::move(facts)),
        question_(question),
        out_(out),
        session_(facts_.listener->options,
                 facts_.listener->is_local_socket ? "localhost" : facts_.remote.address.ToLiteral(),
                 facts_.tls.has_value(), world->main_loop().Now()) {}

  rt::Task<void> Run();
  // junk tells whether a filter marked the mail.
  bool junk() const { return junk_; }

 private:
  // Filter asks the filters about a step and puts what they rewrite into `*argument`. True: they
  // refused it, and the session knows.
  rt::Task<bool> Filter(service::FilterQuestion question, std::string* argument);
  rt::Task<void> Talk();
  rt::Task<void> OnConnected();
  rt::Task<void> OnHello(std::string name, bool extended);
  rt::Task<void> OnLogin();
  rt::Task<void> OnDataBegin();
  // Say gives the reply to `command`; "" when the session is over.
  rt::Task<std::string> Say(std::string command);
  // Settle lets the session run until it wants input.
  rt::Task<void> Settle();
  rt::Task<void> AskReverseName();
  rt::Task<void> OnMailFrom(mail::ReversePath sender);
  rt::Task<void> OnRcptTo(mail::ForwardPath recipient);
  rt::Task<void> OnMessageEnd();
  bool Offers(std::string_view keyword) const;

  rt::World* world_;
  MailGate* gate_;
  ExplainFilters* filters_;
  const policy::Trace* trace_;
  service::SmtpSessionFacts facts_;
  const ExplainQuestion* question_;
  Explanation* out_;
  smtp::ServerSession session_;
  mail::ReversePath sender_;
  ExplainedRecipient* recipient_ = nullptr;  // of the RCPT that is being answered
  std::unique_ptr<service::MessageIntake> intake_;
  std::string output_;
  bool asked_name_ = false;
  bool over_ = false;
  bool junk_ = false;
};

}  // namespace postern::server
