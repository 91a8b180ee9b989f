// SmtpConnection drives one SMTP session: the loop of core/smtp/server_session.h over a stream.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/core/smtp/server_session.h"
#include "lib/service/smtp/message_intake.h"
#include "lib/service/smtp/service.h"

namespace postern::service {

class SmtpConnection {
 public:
  SmtpConnection(SmtpService* service, std::unique_ptr<rt::Stream> stream,
                 std::shared_ptr<const SmtpListener> listener);
  ~SmtpConnection();
  SmtpConnection(const SmtpConnection&) = delete;
  SmtpConnection& operator=(const SmtpConnection&) = delete;

  // Run serves the session to its end.
  rt::Task<void> Run();

  // AskToLeave ends the session with 421 as soon as no message is in flight; called while the
  // service stops.
  rt::Task<void> AskToLeave();
  // Apologize says 421 to the client of a session that an exception ended, memory that ran out
  // above all, where that cannot be taken for a part of what was said before; then it closes.
  rt::Task<void> Apologize();
  // Cut closes the stream at once, unless a message is being made durable: that one gets its reply
  // first.
  void Cut();

 private:
  // Transaction is what MAIL began; it exists only while there is one, so that an idle session
  // carries none.
  struct Transaction {
    mail::ReversePath sender;
    std::vector<AcceptedRecipient> recipients;
    std::unique_ptr<IncomingMessage> message;
    std::unique_ptr<MessageIntake> intake;
    std::unique_ptr<ContentSink> kept;  // what the filters write to, where they have content
    FilterQuestion about;               // what they were told of that content
    Status failure;                     // of Append: told at the end of the data
    bool eight_bit = false;             // the message has octets above 127
    bool junk = false;
    bool hang_up = false;  // a filter disconnects behind the reply
    bool begun = false;    // tx-begin was reported
  };

  // IdOf is "" before the message is begun.
  static std::string_view IdOf(const Transaction& transaction) {
    return transaction.message == nullptr ? std::string_view() : transaction.message->id();
  }

  rt::Task<bool> Flush();
  rt::Task<void> FillInput();
  bool FeedWhatIsThere();
  rt::Task<bool> StartTls();
  rt::Task<bool> TakeProxyHeader();
  rt::Task<void> FindHostName();

  rt::Task<void> OnCommandLine(std::string line, bool secret);
  rt::Task<void> OnConnected();
  rt::Task<void> FindReverseName();
  rt::Task<void> OnHello(std::string name, bool extended);
  rt::Task<void> OnAuthenticate(const sasl::Credentials* credentials, sasl::Mechanism mechanism,
                                bool proven);
  rt::Task<void> OnAuthSecret(const sasl::Credentials* credentials, sasl::Mechanism mechanism);
  // RefuseLogin answers a login that could not be judged, or may not be tried.
  void RefuseLogin(const std::string& user, sasl::Mechanism mechanism, const Status& failure);
  rt::Task<void> OnMailFrom(const mail::ReversePath* reverse_path);
  rt::Task<void> OnRcptTo(const mail::ForwardPath* forward_path);
  rt::Task<void> OnDataBegin(bool chunking);
  rt::Task<void> OnBodyChunk(std::string_view chunk);
  rt::Task<void> OnMessageEnd(uint64_t size, uint8_t defects);

  // Asks tells whether the filter is to be asked in `phase`.
  bool Asks(SmtpPhase phase) const { return filter_ != nullptr && filter_->Wants(phase); }
  // Filter asks the session's filter, which must be there, about a step named `command`. True: the
  // session has been told of a refusal, and the step is not taken. Else `*argument`, where the step
  // has one, may be another.
  rt::Task<bool> Filter(FilterQuestion question, std::string command, std::string* argument,
                        bool* junk);

  // FilterLogin asks it about a login, once for each, before anything is judged.
  rt::Task<bool> FilterLogin(const sasl::Credentials* credentials, sasl::Mechanism mechanism);
  // AuthArgument is the mechanism and, in base64, the message of PLAIN; of the others who it is.
  static std::string AuthArgument(const sasl::Credentials& credentials, sasl::Mechanism mechanism);

  // The same for the steps that have an address, which is rewritten in place.
  rt::Task<bool> FilterSender(Transaction* transaction);
  rt::Task<bool> FilterRecipient(mail::ForwardPath* recipient);

  // Watches tells whether the filter is told of `event`; Report tells it.
  bool Watches(SessionEvent event) const { return filter_ != nullptr && filter_->Wants(event); }
  bool WatchesCommands() const;
  void Report(FilterReport report) const;
  void ReportLogin(std::string_view user, StepResult result) const;
  // ReportAddress tells of a MAIL or RCPT that was answered, or of the DATA.
  void ReportAddress(SessionEvent event, const mail::Reply& reply,
                     const mail::Address* address) const;
  // ReportOutput tells of the replies that were given since the last time.
  void ReportOutput();
  void ReportLeaving() noexcept;

  rt::Task<Status> BeginMessage(Transaction* transaction);
  // BeginContent gives the filters our own fields, of which the content begins.
  rt::Task<void> BeginContent(std::string head);
  // DropTransaction ends the one under way, if any, without a message.
  void DropTransaction();
  rt::Task<mail::Reply> FinishMessage(Transaction* transaction, std::string* reason);
  // ApplyChanges changes the envelope as filters want; an error says why that is not possible.
  rt::Task<Status> ApplyChanges(Transaction* transaction, FilterChanges changes);

  std::string HeadFields(const Transaction& transaction) const;
  std::unique_ptr<MessageIntake> MakeIntake(const Transaction& transaction, std::string head) const;
  void Leave() noexcept;
  void Log(LogLevel level, std::string event, std::vector<LogField> fields) const;
  void LogConnected() const;
  void LogProtocolError(const smtp::ServerEvent& event) const;
  void LogRefusal(std::string_view command, const mail::Reply& reply,
                  std::string_view reason) const;

  SmtpService* service_;
  std::unique_ptr<rt::Stream> stream_;
  SmtpSessionFacts facts_;
  std::unique_ptr<smtp::ServerSession> session_;
  std::unique_ptr<Transaction> transaction_;
  std::unique_ptr<SessionFilter> filter_;
  bool junk_ = false;  // all that this session sends
  bool greeted_ = false;
  bool asked_reverse_name_ = false;
  bool waiting_for_input_ = false;
  bool leaving_ = false;    // the session has been asked to close when it can
  bool finishing_ = false;  // the end of data has come and its reply has not been written
  bool writing_ = false;    // a part of what the session says may have been sent
  bool cut_ = false;
  bool chunking_ = false;       // the message comes by BDAT
  bool linked_ = false;         // link-connect was reported, link-disconnect not
  size_t reported_output_ = 0;  // octets of what the session has to say
};

}  // namespace postern::service
