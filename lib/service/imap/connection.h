// ImapConnection drives one IMAP session: the loop of core/imap/server_session.h over a stream, and
// the commands over the account's mailboxes.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/core/imap/server_session.h"
#include "lib/core/mailbox/mailbox.h"
#include "lib/core/mailbox/view.h"
#include "lib/service/imap/service.h"

namespace postern::service {

class ImapConnection {
 public:
  ImapConnection(ImapService* service, std::unique_ptr<rt::Stream> stream,
                 std::shared_ptr<const ImapListener> listener);
  ~ImapConnection();
  ImapConnection(const ImapConnection&) = delete;
  ImapConnection& operator=(const ImapConnection&) = delete;

  // Run serves the session to its end.
  rt::Task<void> Run();
  // End waits for what the session started and closes its mailboxes; after Run, also when that
  // threw. Once the task is made, which is done before Run, it takes no memory.
  rt::Task<void> End();

  // AskToLeave says BYE once no command is under way; called when the service stops.
  void AskToLeave();
  // Apologize says BYE to the client of a session that an exception ended, memory that ran out
  // above all, where that cannot be taken for a part of what was said before; then it closes.
  rt::Task<void> Apologize();
  // Cut closes the stream at once.
  void Cut();

 private:
  // Selected is the mailbox that SELECT opened. It is used by one coroutine or one job on the pool
  // at a time.
  struct Selected {
    std::unique_ptr<mailbox::Mailbox> mailbox;
    mailbox::View view;
    uint64_t generation = 0;
    size_t keywords_told = 0;
  };
  // Append is a message that is on its way in.
  struct Append {
    std::unique_ptr<mailbox::Appender> appender;
    Status failure;  // told at the end of the message, where the client expects it
  };
  // IdleSignal is reached by watches from other threads through the loop; `event` is null once
  // nobody listens.
  struct IdleSignal : rt::Job {
    rt::Event* event = nullptr;         // loop only
    std::atomic<bool> posted = false;   // then it is in the loop's queue, and
    std::shared_ptr<IdleSignal> owner;  // this keeps it there
  };

  // connection.cc: the loop
  rt::Task<bool> Flush();
  rt::Task<void> FillInput();
  bool FeedWhatIsThere();
  rt::Task<bool> StartTls();
  rt::Task<bool> TakeProxyHeader();
  rt::Task<void> OnCommand(const imap::Command* command);
  rt::Task<imap::Completion> Execute(const imap::Command* command);
  rt::Task<imap::Completion> Simple(const imap::Command* command);
  rt::Task<void> OnAppend(const imap::Command* command);
  rt::Task<void> OnAppendData(std::string_view data);
  rt::Task<void> OnAppendEnd(const imap::Command* command);
  // ReportChanges takes in what others did and tells the client; false when the mailbox is gone and
  // the session over.
  rt::Task<bool> ReportChanges(bool may_expunge);
  rt::Task<void> FlushIfLong();
  rt::Task<void> DropSelected();
  void TellKeywords();
  // KeywordMask has a bit for each keyword of the selected mailbox.
  mailbox::KeywordBits KeywordMask() const;
  rt::Task<void> SayGoodbye();

  // connection_login.cc
  rt::Task<void> OnCredentials(const imap::Event event);
  rt::Task<void> OnSecret(std::string user, sasl::Mechanism mechanism);
  // RefuseLogin answers a login that could not be judged, or may not be tried.
  void RefuseLogin(const std::string& user, sasl::Mechanism mechanism, const Status& failure);
  // ChannelNow is what the connection vouches for in an authentication.
  sasl::Channel ChannelNow() const;

  // idle.cc
  void StartIdle();
  rt::Task<void> StopIdle();
  // TellIdleToStop takes no memory; idle_tasks_ then ends by itself.
  void TellIdleToStop() noexcept;
  rt::Task<void> IdleUpdates();

  // mailbox_commands.cc
  rt::Task<imap::Completion> Select(const imap::Command* command);
  rt::Task<imap::Completion> Close(bool expunge);
  rt::Task<imap::Completion> ChangeMailbox(const imap::Command* command);
  rt::Task<imap::Completion> List(const imap::Command* command);
  rt::Task<imap::Completion> StatusOf(const imap::Command* command);

  // message_commands.cc
  rt::Task<imap::Completion> Fetch(const imap::Command* command);
  rt::Task<imap::Completion> Store(const imap::Command* command);
  rt::Task<imap::Completion> Copy(const imap::Command* command);
  rt::Task<imap::Completion> Search(const imap::Command* command);
  rt::Task<imap::Completion> Expunge(const imap::Command* command);
  // ResolveSet turns a command's set into UIDs that the client knows of; nullopt for a number that
  // no message has.
  std::optional<mailbox::UidSet> ResolveSet(const imap::SequenceSet& set, bool uid) const;

  // Failure is what a client is told when a command fails for `status`; `verb` is the command's
  // name.
  imap::Completion Failure(const Status& status, std::string_view verb) const;
  rt::Executor& loop() const { return *service_->loop_; }
  void Log(LogLevel level, std::string event, std::vector<LogField> fields) const;

  ImapService* service_;
  std::unique_ptr<rt::Stream> stream_;
  ImapSessionFacts facts_;
  std::unique_ptr<imap::ServerSession> session_;
  std::shared_ptr<mailbox::MailStore> store_;
  std::unique_ptr<Selected> selected_;
  std::unique_ptr<Append> append_;

  bool waiting_for_input_ = false;
  bool leaving_ = false;
  bool writing_ = false;  // a part of what the session says may have been sent
  rt::TaskGroup goodbye_;

  // While IDLE runs, idle_tasks_ has one task, which alone writes.
  bool idle_stopping_ = false;
  rt::Event idle_event_;
  std::shared_ptr<IdleSignal> idle_signal_;
  std::unique_ptr<mailbox::ChangeWatch> idle_watch_;
  rt::TaskGroup idle_tasks_;
};

// CompletionOf maps a failure of the mailboxes to a response code (RFC 5530 §3). `trycreate`: a
// missing mailbox is one that the client may create (RFC 3501 §6.3.11, §6.4.7).
imap::Completion CompletionOf(const Status& status, std::string_view verb, bool trycreate);

}  // namespace postern::service
