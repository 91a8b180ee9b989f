#include "lib/service/filter/milter_content.h"

#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/smtp/extensions.h"
#include "lib/core/smtp/server_options.h"

namespace postern::service {
namespace {

using VerdictKind = milter::Verdict::Kind;
using ChangeKind = milter::Change::Kind;

// ReadAddress reads an address as milters write it, with or without <>.
StatusOr<mail::Address> ReadAddress(std::string_view text, bool may_be_empty) {
  text = Trim(text);
  if (text.size() >= 2 && text.front() == '<' && text.back() == '>')
    text = text.substr(1, text.size() - 2);
  if (text.empty() && may_be_empty) return mail::Address();
  StatusOr<mail::Address> address = mail::ParseAddress(text);
  if (!address.ok())
    return InvalidArgument(StrCat("\"", Escape(text, 80), "\" is no address that it may give"));
  return address;
}

}  // namespace

MilterContent::MilterContent(rt::Executor* loop, rt::Files* files, ContentSpoolOptions spool,
                             const MilterOptions* options, MilterLink* link, ContentSink* next,
                             std::string message_id, std::string mark)
    : loop_(loop),
      files_(files),
      spool_options_(std::move(spool)),
      options_(options),
      link_(link),
      next_(next),
      message_id_(std::move(message_id)),
      mark_(std::move(mark)) {
  const milter::Agreement& agreement = link_->client().agreement();
  hold_ =
      agreement.may(milter::kMayAddHeaders | milter::kMayChangeHeaders | milter::kMayReplaceBody);
  if (hold_) body_ = std::make_unique<ContentSpool>(loop_, files_, spool_options_, mark_);
}

MilterContent::~MilterContent() = default;

bool MilterContent::dropped() const {
  if (outcome_.failed) return options_->when_away != MilterOptions::WhenAway::kAccept;
  return outcome_.verdict.kind != VerdictKind::kContinue &&
         outcome_.verdict.kind != VerdictKind::kAccept;
}

rt::Task<Status> MilterContent::Add(std::string_view piece) {
  if (dropped()) co_return OkStatus();
  if (!in_header_) {
    auto adding = AddBody(piece);
    Status added = co_await std::move(adding);
    co_return added;
  }
  constexpr std::string_view kEnd = "\r\n\r\n";
  const size_t before = head_.size();
  head_.append(piece);
  const size_t end =
      head_.starts_with("\r\n") ? 0 : head_.find(kEnd, searched_ < 3 ? 0 : searched_ - 3);
  searched_ = head_.size();
  if (end == std::string::npos) {
    if (head_.size() <= options_->max_header_bytes) co_return OkStatus();
    outcome_.verdict.kind = VerdictKind::kRefuse;
    outcome_.verdict.reply = mail::Reply(552, {5, 3, 4}, "Message header too big");
    std::string().swap(head_);
    co_return OkStatus();
  }
  const size_t header_size = end == 0 ? 0 : end + 2;
  const std::string_view rest = piece.substr(header_size + 2 - before);
  head_.resize(header_size);
  has_blank_line_ = true;
  auto ending = HeaderDone();
  const Status ended = co_await std::move(ending);
  if (!ended.ok() || rest.empty() || dropped()) co_return ended;
  auto adding = AddBody(rest);
  Status added = co_await std::move(adding);
  co_return added;
}

// HeaderDone takes what head_ holds for the whole header.
rt::Task<Status> MilterContent::HeaderDone() {
  in_header_ = false;
  fields_ = ParseHeaderFields(head_, message_id_);
  auto telling = TellHeader();
  co_await std::move(telling);
  Status written = OkStatus();
  if (!hold_ && !dropped()) {
    if (has_blank_line_) head_.append("\r\n");
    auto writing = next_->Write(head_);
    written = co_await std::move(writing);
  }
  std::string().swap(head_);
  co_return written;
}

// Step waits for the verdict of a step that was begun.
rt::Task<void> MilterContent::Step(bool begun, MilterChanges* changes) {
  if (!begun) co_return;
  auto settling = link_->Settle(changes);
  const milter::Verdict* const verdict = co_await std::move(settling);
  if (verdict == nullptr) {
    outcome_.failed = true;
    asking_ = false;
  } else if (verdict->kind != VerdictKind::kContinue) {
    outcome_.verdict = *verdict;
    asking_ = false;
  }
}

rt::Task<void> MilterContent::TellHeader() {
  for (const HeaderField& field : fields_) {
    if (!asking_) co_return;
    if (field.own || field.name.empty() || !link_->client().Wants(milter::Step::kHeader)) continue;
    auto step = Step(link_->client().Header(field.name, field.value(), link_->Now()), nullptr);
    co_await std::move(step);
  }
  if (!asking_) co_return;
  auto step = Step(link_->client().EndOfHeaders(link_->Now()), nullptr);
  co_await std::move(step);
}

rt::Task<Status> MilterContent::AddBody(std::string_view piece) {
  auto telling = TellBody(piece);
  co_await std::move(telling);
  if (dropped()) co_return OkStatus();
  if (hold_) {
    auto holding = body_->Append(piece);
    Status held = co_await std::move(holding);
    co_return held;
  }
  auto writing = next_->Write(piece);
  Status written = co_await std::move(writing);
  co_return written;
}

rt::Task<void> MilterContent::TellBody(std::string_view piece) {
  while (asking_ && !piece.empty() && link_->client().Wants(milter::Step::kBody)) {
    const size_t room = link_->client().agreement().max_chunk_bytes - chunk_.size();
    chunk_.append(piece.substr(0, room));
    piece.remove_prefix(std::min(room, piece.size()));
    if (chunk_.size() < link_->client().agreement().max_chunk_bytes) co_return;
    auto step = Step(link_->client().Body(chunk_, link_->Now()), nullptr);
    co_await std::move(step);
    chunk_.clear();
  }
}

rt::Task<StatusOr<MilterContent::Outcome>> MilterContent::End() {
  if (in_header_ && !dropped()) {
    auto ending = HeaderDone();
    const Status ended = co_await std::move(ending);
    if (!ended.ok()) co_return ended;
  }
  if (asking_ && !dropped() && !chunk_.empty() && link_->client().Wants(milter::Step::kBody)) {
    auto step = Step(link_->client().Body(chunk_, link_->Now()), nullptr);
    co_await std::move(step);
  }
  std::string().swap(chunk_);
  if (asking_ && !dropped()) {
    auto step = Step(link_->client().EndOfMessage(link_->Now()), this);
    co_await std::move(step);
  }
  if (dropped()) co_return std::move(outcome_);
  if (outcome_.failed) {
    // It goes on as it came: half of what the milter wanted is worse than nothing of it.
    kept_.clear();
    new_body_.reset();
    outcome_.changes = FilterChanges();
    outcome_.verdict = milter::Verdict();
  }
  if (hold_) {
    auto writing = WriteOut();
    const Status written = co_await std::move(writing);
    if (!written.ok()) co_return written;
  }
  co_return std::move(outcome_);
}

rt::Task<Status> MilterContent::WriteOut() {
  for (const KeptChange& change : kept_) {
    switch (change.kind) {
      case ChangeKind::kAddHeader: AddHeaderField(&fields_, change.name, change.value); break;
      case ChangeKind::kInsertHeader:
        InsertHeaderField(&fields_, change.index, change.name, change.value);
        break;
      default: ChangeHeaderField(&fields_, change.index, change.name, change.value); break;
    }
  }
  std::string header;
  for (const HeaderField& field : fields_) header.append(field.text);
  if (has_blank_line_ || new_body_ != nullptr) header.append("\r\n");
  auto writing = next_->Write(header);
  const Status written = co_await std::move(writing);
  if (!written.ok()) co_return written;
  auto copying = (new_body_ != nullptr ? new_body_ : body_)->CopyTo(next_);
  Status copied = co_await std::move(copying);
  co_return copied;
}

rt::Task<Status> MilterContent::Take(const milter::Change& change) {
  switch (change.kind) {
    case ChangeKind::kAddHeader:
    case ChangeKind::kInsertHeader:
    case ChangeKind::kChangeHeader:
      kept_.push_back({change.kind, change.index, std::string(change.name), change.value});
      co_return OkStatus();
    case ChangeKind::kReplaceBody: {
      if (new_body_ == nullptr) {
        new_body_ =
            std::make_unique<ContentSpool>(loop_, files_, spool_options_, StrCat(mark_, ".new"));
      }
      auto holding = new_body_->Append(change.body);
      Status held = co_await std::move(holding);
      co_return held;
    }
    default: break;
  }
  co_return TakeEnvelope(change);
}

Status MilterContent::TakeEnvelope(const milter::Change& change) {
  FilterChanges& changes = outcome_.changes;
  if (change.kind == ChangeKind::kQuarantine) {
    changes.quarantine = true;
    changes.quarantine_reason = std::string(change.reason);
    return OkStatus();
  }
  const bool is_sender = change.kind == ChangeKind::kChangeFrom;
  StatusOr<mail::Address> address = ReadAddress(change.address, is_sender);
  if (!address.ok()) return address.status();
  if (change.kind == ChangeKind::kDeleteRcpt) {
    const auto same = [&address](const mail::ForwardPath& path) {
      return path.address.local_part == address->local_part &&
             EqualsIgnoreCase(path.address.domain, address->domain);
    };
    std::erase_if(changes.add_recipients, same);
    changes.remove_recipients.push_back(*std::move(address));
    return OkStatus();
  }
  const smtp::ServerOptions options;
  mail::Reply wrong;
  if (is_sender) {
    mail::ReversePath path;
    path.address = *std::move(address);
    const uint32_t offered = smtp::kExtensionEightBitMime | smtp::kExtensionSmtpUtf8 |
                             smtp::kExtensionSize | smtp::kExtensionDsn;
    wrong = smtp::ParseMailParameters(change.args, offered, options, path);
    changes.change_sender = true;
    changes.sender = std::move(path);
  } else {
    mail::ForwardPath path;
    path.address = *std::move(address);
    wrong = smtp::ParseRcptParameters(change.args, smtp::kExtensionDsn, options, path);
    changes.add_recipients.push_back(std::move(path));
  }
  if (wrong.code == 0) return OkStatus();
  return InvalidArgument(
      StrCat("\"", Escape(change.args, 80), "\" are no parameters of an address"));
}

}  // namespace postern::service
