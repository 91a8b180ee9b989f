// The commands about messages (RFC 3501 §6.4).
#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/imap/search_criteria.h"
#include "lib/core/mailbox/names.h"
#include "lib/core/mailbox/search.h"
#include "lib/service/imap/connection.h"
#include "lib/service/imap/fetch_producer.h"
#include "lib/service/imap/searchable.h"

namespace postern::service {
namespace {

using imap::CommandKind;
using imap::Completion;

// How many messages one job on the pool looks at: many when their flags and dates decide, few when
// they must be read.
constexpr size_t kSearchBatch = 16384;
constexpr size_t kContentSearchBatch = 64;

Completion NoSuchNumber() { return Completion::Bad("A message number is larger than the mailbox"); }
Completion ReadOnly() { return Completion::NoCode("CANNOT", "The mailbox is open read-only"); }

std::vector<uint32_t> NumbersOf(const mailbox::UidSet& set) { return set.Numbers(SIZE_MAX); }

}  // namespace

std::optional<mailbox::UidSet> ImapConnection::ResolveSet(const imap::SequenceSet& set,
                                                          bool uid) const {
  const mailbox::View& view = selected_->view;
  if (uid) return view.Known(set.Resolve(view.max_uid()));
  return view.UidsOf(set.Resolve(static_cast<uint32_t>(view.size())));
}

rt::Task<Completion> ImapConnection::Fetch(const imap::Command* command) {
  const auto& arguments = std::get<imap::FetchArguments>(command->arguments);
  const std::optional<mailbox::UidSet> uids = ResolveSet(arguments.set, command->uid);
  if (!uids.has_value()) co_return NoSuchNumber();
  FetchProducer::Options options;
  options.uid_form = command->uid;
  options.parse_limit_bytes = service_->options_.parse_limit_bytes;
  FetchProducer producer(selected_->mailbox.get(), &selected_->view, NumbersOf(*uids),
                         &arguments.items, options);
  const size_t target = service_->options_.output_chunk_bytes;
  while (!producer.done()) {
    // The output is this coroutine's while the command runs, so the pool may write into it.
    std::string* out = &session_->responses().buffer();
    auto work = [&] { producer.Produce(out, target); };
    co_await loop().RunBlocking(work);
    if (session_->PendingOutput().size() < target) continue;
    const bool written = co_await Flush();
    if (!written) break;
  }
  if (!producer.failure().ok()) {
    Log(LogLevel::kWarning, "fetch-failed",
        {{"user", facts_.user}, {"reason", Text(producer.failure())}});
  }
  if (producer.broken()) {
    stream_->Close();
    session_->EndOfInput();
    co_return Completion::NoCode("SERVERBUG", "FETCH broke off");
  }
  if (!producer.failure().ok())
    co_return Completion::NoCode("SERVERBUG", "Some messages cannot be read");
  // RFC 5530 §3; UID FETCH passes over them without a word (RFC 3501 §6.4.8).
  if (producer.missing() > 0 && !command->uid) {
    co_return Completion::OkCode("EXPUNGEISSUED", "Some messages are gone");
  }
  co_return Completion::Ok("FETCH completed");
}

rt::Task<Completion> ImapConnection::Store(const imap::Command* command) {
  const auto& arguments = std::get<imap::StoreArguments>(command->arguments);
  if (selected_->mailbox->read_only()) co_return ReadOnly();
  const std::optional<mailbox::UidSet> uids = ResolveSet(arguments.set, command->uid);
  if (!uids.has_value()) co_return NoSuchNumber();
  if (uids->empty()) co_return Completion::Ok("STORE completed");
  mailbox::StoreRequest request;
  request.flags = arguments.flags;
  switch (arguments.mode) {
    case imap::StoreArguments::Mode::kReplace:
      request.change = mailbox::FlagChange::kReplace;
      break;
    case imap::StoreArguments::Mode::kAdd: request.change = mailbox::FlagChange::kAdd; break;
    case imap::StoreArguments::Mode::kRemove: request.change = mailbox::FlagChange::kRemove; break;
  }
  auto work = [&] { return selected_->mailbox->StoreFlags(*uids, request); };
  const StatusOr<mailbox::StoreResult> stored = co_await loop().RunBlocking(work);
  if (!stored.ok()) co_return Failure(stored.status(), "STORE");

  TellKeywords();
  mailbox::Mailbox& box = *selected_->mailbox;
  size_t missing = 0;
  const std::vector<uint32_t> numbers = NumbersOf(*uids);
  const std::span<const mailbox::MessageInfo> messages = box.messages();
  auto at = messages.begin();
  for (const uint32_t uid : numbers) {
    at = std::lower_bound(at, messages.end(), uid,
                          [](const mailbox::MessageInfo& m, uint32_t u) { return m.uid < u; });
    if (at == messages.end() || at->uid != uid) {
      ++missing;
      continue;
    }
    selected_->view.Told(*at);
    if (arguments.silent) continue;
    const std::string flags =
        mailbox::FormatFlags(at->flags, at->keywords, box.keywords(), at->recent);
    session_->responses().Untagged(StrCat(selected_->view.NumberOf(uid), " FETCH (",
                                          command->uid ? StrCat("UID ", uid, " ") : std::string(),
                                          "FLAGS ", flags, ")"));
    co_await FlushIfLong();
  }
  if (missing > 0 && !command->uid)
    co_return Completion::NoCode("EXPUNGEISSUED", "Some messages are gone");
  co_return Completion::Ok("STORE completed");
}

rt::Task<Completion> ImapConnection::Copy(const imap::Command* command) {
  const auto& arguments = std::get<imap::CopyArguments>(command->arguments);
  const bool move = command->kind == CommandKind::kMove;
  const std::string_view verb = move ? "MOVE" : "COPY";
  if (move && selected_->mailbox->read_only()) co_return ReadOnly();
  const std::optional<mailbox::UidSet> uids = ResolveSet(arguments.set, command->uid);
  if (!uids.has_value()) co_return NoSuchNumber();
  auto work = [&]() -> StatusOr<mailbox::CopyResult> {
    StatusOr<std::string> name = mailbox::CanonicalName(arguments.mailbox, store_->separator());
    if (!name.ok()) return name.status();
    if (uids->empty()) return mailbox::CopyResult();
    return move ? selected_->mailbox->Move(*uids, *name) : selected_->mailbox->Copy(*uids, *name);
  };
  const StatusOr<mailbox::CopyResult> copied = co_await loop().RunBlocking(work);
  if (!copied.ok()) co_return CompletionOf(copied.status(), verb, true);
  if (copied->source.empty()) co_return Completion::Ok(StrCat(verb, " completed: no messages"));
  const std::string code = StrCat("COPYUID ", copied->uid_validity, " ",
                                  mailbox::UidSet::FromNumbers(copied->source).ToString(), " ",
                                  mailbox::UidSet::FromNumbers(copied->target).ToString());
  if (!move) co_return Completion::OkCode(code, "COPY completed");
  // RFC 6851 §4.3: COPYUID comes untagged, before the EXPUNGEs.
  session_->responses().UntaggedCondition("OK", code, "Moved");
  co_return Completion::Ok("MOVE completed");
}

rt::Task<Completion> ImapConnection::Search(const imap::Command* command) {
  const auto& arguments = std::get<imap::SearchArguments>(command->arguments);
  mailbox::View& view = selected_->view;
  mailbox::Mailbox& box = *selected_->mailbox;
  imap::SearchContext context;
  context.largest_number = static_cast<uint32_t>(view.size());
  context.largest_uid = view.max_uid();
  context.depth_limit = facts_.listener->options->search_depth_limit;
  context.keys_limit = facts_.listener->options->search_keys_limit;
  StatusOr<mailbox::SearchKey> key = imap::ParseSearchCriteria(arguments.criteria, context);
  if (!key.ok() && key.status().code() == StatusCode::kUnimplemented) {
    co_return Completion::NoCode("BADCHARSET (US-ASCII UTF-8)", "The charset is not known");
  }
  if (!key.ok() || !mailbox::WithinSearchLimits(*key))
    co_return Completion::Bad("SEARCH: the criteria are not understood");
  const mailbox::Search search(std::move(*key), box.keywords(),
                               service_->world_->clock().WallNow());
  const size_t batch = search.NeedsContent() ? kContentSearchBatch : kSearchBatch;
  const uint64_t parse_limit = service_->options_.parse_limit_bytes;

  std::string found = "SEARCH";
  uint32_t next = 1;
  auto work = [&] {
    const std::span<const mailbox::MessageInfo> messages = box.messages();
    const uint32_t end =
        static_cast<uint32_t>(std::min<uint64_t>(view.size() + 1, uint64_t{next} + batch));
    auto at = std::lower_bound(messages.begin(), messages.end(), view.UidAt(next),
                               [](const mailbox::MessageInfo& m, uint32_t u) { return m.uid < u; });
    for (; next < end; ++next) {
      const uint32_t uid = view.UidAt(next);
      while (at != messages.end() && at->uid < uid) ++at;
      if (at == messages.end() || at->uid != uid)
        continue;  // gone, but the client has not heard of it
      const auto open = [&]() -> std::unique_ptr<mailbox::SearchableMessage> {
        StatusOr<std::unique_ptr<mailbox::MessageContent>> content = box.OpenContent(uid);
        if (!content.ok()) return nullptr;
        return std::make_unique<SearchableContent>(std::move(*content), parse_limit);
      };
      if (search.Matches(*at, next, open)) StrAppend(found, " ", command->uid ? uid : next);
    }
  };
  // The client may leave in the middle of a long search: the batches look.
  while (next <= view.size() && !leaving_) co_await loop().RunBlocking(work);
  session_->responses().Untagged(found);
  co_return Completion::Ok("SEARCH completed");
}

rt::Task<Completion> ImapConnection::Expunge(const imap::Command* command) {
  const auto& arguments = std::get<imap::ExpungeArguments>(command->arguments);
  if (selected_->mailbox->read_only()) co_return ReadOnly();
  if (command->uid != arguments.uids.has_value()) {
    // RFC 4315 §2.1: UID EXPUNGE takes a set, EXPUNGE does not.
    co_return Completion::Bad("UID EXPUNGE takes a set of UIDs, EXPUNGE takes nothing");
  }
  mailbox::UidSet uids;
  if (arguments.uids.has_value())
    uids = selected_->view.Known(arguments.uids->Resolve(selected_->view.max_uid()));
  auto work = [&] { return selected_->mailbox->Expunge(command->uid ? &uids : nullptr).status(); };
  const Status expunged = co_await loop().RunBlocking(work);
  if (!expunged.ok()) co_return Failure(expunged, "EXPUNGE");
  co_return Completion::Ok("EXPUNGE completed");
}

}  // namespace postern::service
