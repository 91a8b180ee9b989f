// The commands about mailboxes (RFC 3501 §6.3).
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/imap/strings_out.h"
#include "lib/core/mailbox/names.h"
#include "lib/service/imap/connection.h"
#include "lib/service/imap/list_lines.h"

namespace postern::service {
namespace {

using imap::CommandKind;
using imap::Completion;

// FormatStatus writes "STATUS name (MESSAGES 3 …)" in the order that was asked for.
std::string FormatStatus(std::string_view name, const std::vector<imap::StatusItem>& items,
                         const mailbox::MailboxStatus& status) {
  std::string out = "STATUS ";
  imap::AppendString(out, mailbox::EncodeMailboxUtf7(name));
  out.append(" (");
  bool first = true;
  for (const imap::StatusItem item : items) {
    if (!first) out.push_back(' ');
    first = false;
    StrAppend(out, imap::StatusItemName(item), " ");
    switch (item) {
      case imap::StatusItem::kMessages: StrAppend(out, status.messages); break;
      case imap::StatusItem::kRecent: StrAppend(out, status.recent); break;
      case imap::StatusItem::kUidNext: StrAppend(out, status.uid_next); break;
      case imap::StatusItem::kUidValidity: StrAppend(out, status.uid_validity); break;
      case imap::StatusItem::kUnseen: StrAppend(out, status.unseen); break;
      case imap::StatusItem::kSize: StrAppend(out, status.size_bytes); break;
      case imap::StatusItem::kHighestModSeq: StrAppend(out, status.highest_modseq); break;
    }
  }
  out.push_back(')');
  return out;
}

}  // namespace

rt::Task<Completion> ImapConnection::Select(const imap::Command* command) {
  const bool read_only = command->kind == CommandKind::kExamine;
  const std::string_view verb = read_only ? "EXAMINE" : "SELECT";
  const std::string& wanted = std::get<imap::MailboxArguments>(command->arguments).mailbox;
  // RFC 3501 §6.3.1: the mailbox that was selected is left first, whatever becomes of the new one,
  // without expunging.
  co_await DropSelected();
  auto selected = std::make_unique<Selected>();
  auto work = [&]() -> Status {
    StatusOr<std::string> name = mailbox::CanonicalName(wanted, store_->separator());
    if (!name.ok()) return name.status();
    StatusOr<std::unique_ptr<mailbox::Mailbox>> opened = store_->Open(*name, read_only);
    if (!opened.ok()) return opened.status();
    selected->mailbox = std::move(*opened);
    return OkStatus();
  };
  const Status opened = co_await loop().RunBlocking(work);
  if (!opened.ok()) co_return Failure(opened, verb);
  selected_ = std::move(selected);

  mailbox::Mailbox& box = *selected_->mailbox;
  const std::span<const mailbox::MessageInfo> messages = box.messages();
  selected_->view.Reset(messages);
  selected_->generation = box.generation();
  imap::ResponseWriter& out = session_->responses();
  // "\*" comes after the flags there are: others may be made (RFC 3501 §7.1, PERMANENTFLAGS).
  selected_->keywords_told = SIZE_MAX;
  TellKeywords();
  out.Untagged(StrCat(messages.size(), " EXISTS"));
  out.Untagged(StrCat(selected_->view.recent(), " RECENT"));
  for (size_t i = 0; i < messages.size(); ++i) {
    if ((messages[i].flags & mailbox::kSeen) != 0) continue;
    out.UntaggedCondition("OK", StrCat("UNSEEN ", i + 1), "First message not seen");
    break;
  }
  out.UntaggedCondition("OK", StrCat("UIDVALIDITY ", box.uid_validity()), "UIDs are valid");
  out.UntaggedCondition("OK", StrCat("UIDNEXT ", box.uid_next()), "Next UID");
  std::string permanent = "()";
  if (!box.read_only()) {
    permanent =
        mailbox::FormatFlags(mailbox::kAllSystemFlags, KeywordMask(), box.keywords(), false);
    permanent.insert(permanent.size() - 1, " \\*");
  }
  out.UntaggedCondition("OK", StrCat("PERMANENTFLAGS ", permanent), "Flags that are kept");
  co_return Completion::OkCode(box.read_only() ? "READ-ONLY" : "READ-WRITE",
                               StrCat(verb, " completed"));
}

rt::Task<Completion> ImapConnection::Close(bool expunge) {
  if (expunge && selected_ != nullptr && !selected_->mailbox->read_only()) {
    // RFC 3501 §6.4.2: CLOSE expunges without a word.
    auto work = [&] { return selected_->mailbox->Expunge(nullptr).status(); };
    const Status expunged = co_await loop().RunBlocking(work);
    if (!expunged.ok()) co_return Failure(expunged, "CLOSE");
  }
  co_await DropSelected();
  co_return Completion::Ok(expunge ? "CLOSE completed" : "UNSELECT completed");
}

rt::Task<Completion> ImapConnection::ChangeMailbox(const imap::Command* command) {
  const std::string_view verb = imap::RowOf(command->kind).name;
  std::string deleted;
  auto work = [&]() -> Status {
    const char separator = store_->separator();
    if (command->kind == CommandKind::kRename) {
      const auto& rename = std::get<imap::RenameArguments>(command->arguments);
      StatusOr<std::string> from = mailbox::CanonicalName(rename.from, separator);
      StatusOr<std::string> to = mailbox::CanonicalName(rename.to, separator);
      if (!from.ok()) return from.status();
      if (!to.ok()) return to.status();
      return store_->Rename(*from, *to);
    }
    const auto& arguments = std::get<imap::MailboxArguments>(command->arguments);
    if (!arguments.special_use.empty()) return FailedPrecondition("a special use cannot be chosen");
    StatusOr<std::string> name = mailbox::CanonicalName(arguments.mailbox, separator);
    if (!name.ok()) return name.status();
    switch (command->kind) {
      case CommandKind::kCreate: return store_->Create(*name);
      case CommandKind::kDelete: deleted = *name; return store_->Delete(*name);
      case CommandKind::kSubscribe: return store_->Subscribe(*name);
      default: return store_->Unsubscribe(*name);
    }
  };
  const Status done = co_await loop().RunBlocking(work);
  if (!done.ok()) co_return CompletionOf(done, verb, false);
  if (selected_ != nullptr && selected_->mailbox->name() == deleted) {
    // Our own doing, so the session goes on without a mailbox (RFC 9051 §7.1, CLOSED).
    co_await DropSelected();
    session_->MailboxClosed();
  }
  co_return Completion::Ok(StrCat(verb, " completed"));
}

rt::Task<Completion> ImapConnection::List(const imap::Command* command) {
  const auto& arguments = std::get<imap::ListArguments>(command->arguments);
  const std::string_view verb = imap::RowOf(command->kind).name;
  std::vector<ListLine> lines;
  auto work = [&]() -> Status {
    StatusOr<std::vector<mailbox::MailboxEntry>> entries = store_->List();
    if (!entries.ok()) return entries.status();
    lines = command->kind == CommandKind::kLsub
                ? LsubLines(arguments, *entries, store_->separator())
                : ListLines(arguments, *entries, store_->separator());
    return OkStatus();
  };
  const Status listed = co_await loop().RunBlocking(work);
  if (!listed.ok()) co_return Failure(listed, verb);
  for (const ListLine& line : lines) {
    session_->responses().Untagged(line.text);
    if (!line.status_of.empty()) {
      auto look = [&] { return store_->GetStatus(line.status_of); };
      const StatusOr<mailbox::MailboxStatus> status = co_await loop().RunBlocking(look);
      // RFC 5819 §2: a mailbox whose status cannot be had is listed without.
      if (status.ok())
        session_->responses().Untagged(
            FormatStatus(line.status_of, arguments.return_status, *status));
    }
    co_await FlushIfLong();
  }
  co_return Completion::Ok(StrCat(verb, " completed"));
}

rt::Task<Completion> ImapConnection::StatusOf(const imap::Command* command) {
  const auto& arguments = std::get<imap::StatusArguments>(command->arguments);
  std::string canonical;
  auto work = [&]() -> StatusOr<mailbox::MailboxStatus> {
    StatusOr<std::string> name = mailbox::CanonicalName(arguments.mailbox, store_->separator());
    if (!name.ok()) return name.status();
    canonical = *name;
    return store_->GetStatus(*name);
  };
  const StatusOr<mailbox::MailboxStatus> status = co_await loop().RunBlocking(work);
  if (!status.ok()) co_return CompletionOf(status.status(), "STATUS", false);
  session_->responses().Untagged(FormatStatus(canonical, arguments.items, *status));
  co_return Completion::Ok("STATUS completed");
}

}  // namespace postern::service
