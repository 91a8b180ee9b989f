#include "lib/service/deliver/helper_jobs.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/service/deliver/mbox.h"
#include "lib/service/deliver/program.h"

namespace postern::deliver {
namespace {

constexpr size_t kMaxFields = 64;
constexpr size_t kMaxPathBytes = 4096;  // the kernel takes no more (PATH_MAX)
constexpr char kMaildir[] = "maildir";
constexpr char kMbox[] = "mbox";
constexpr char kProgram[] = "program";
constexpr Duration kMaxProgramTime = absl::Hours(1);  // less than rt::HelperOptions::max_time
// A program that takes its whole time is ended by the process that watches it, which is given a
// little more.
constexpr Duration kProgramFarewell = absl::Seconds(20);

using Fields = std::vector<std::string>;

// What stands where in a request for a mailbox.
enum MailboxField : size_t { kKind, kPath, kFlags, kHost, kId, kEnvelope, kMailboxFields };
// … and for a program: then its arguments and its environment.
enum ProgramField : size_t { kDirectory = 1, kTime, kOutputLimit, kArguments, kProgramFields };

// PayloadBody is the message that came with a request.
class PayloadBody final : public store::Body {
 public:
  PayloadBody(rt::File* file, uint64_t size) : file_(file), size_(size) {}
  uint64_t size_bytes() const override { return size_; }
  StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> into) const override {
    return file_->ReadAt(offset, into);
  }

 private:
  rt::File* file_;
  uint64_t size_;
};

StatusOr<std::string> ReadWhole(const store::Body& body) {
  if (const std::optional<std::string_view> memory = body.InMemory()) return std::string(*memory);
  std::string text(static_cast<size_t>(body.size_bytes()), '\0');
  size_t have = 0;
  while (have < text.size()) {
    const StatusOr<size_t> got = body.ReadAt(have, std::span<char>(text).subspan(have));
    if (!got.ok()) return got.status();
    if (*got == 0) return DataLoss("message is shorter than the queue says");
    have += *got;
  }
  return text;
}

std::string Answer(const Status& status, Fields more = {}) {
  Fields fields;
  rt::AppendStatus(status, &fields);
  fields.insert(fields.end(), more.begin(), more.end());
  return rt::EncodeFields(fields);
}

Status DeliverToMailbox(const rt::HelperTask& task, const Fields& fields) {
  if (fields.size() != kMailboxFields || task.payload == nullptr)
    return InvalidArgument("a request that is not whole");
  StatusOr<queue::Envelope> envelope = queue::DecodeEnvelope(fields[kEnvelope]);
  const std::optional<queue::EnvelopeId> id = queue::ParseEnvelopeId(fields[kId]);
  if (!envelope.ok() || !id) return InvalidArgument("a request without an envelope");
  const std::string& path = fields[kPath];
  if (path.empty() || path.size() > kMaxPathBytes || path[0] != '/' ||
      path.find('\0') != std::string::npos)
    return InvalidArgument("a mailbox without a path");
  const auto flag = [&fields](char letter) {
    return fields[kFlags].find(letter) != std::string::npos;
  };
  envelope->id = *id;
  envelope->fresh = flag('f');
  const StatusOr<rt::FileInfo> info = task.payload->Stat();
  if (!info.ok()) return info.status();
  Delivery delivery;
  delivery.envelope = &*envelope;
  delivery.body = std::make_shared<PayloadBody>(task.payload, info->size_bytes);
  delivery.target.path = path;
  delivery.target.junk = flag('j');
  delivery.target.in_mail_spool = flag('s');
  delivery.files = task.files;
  rt::DurableNames names;
  // As one who is in the group of the mail spool, the user makes the mailbox and its lock himself.
  if (fields[kKind] == kMbox) return AppendToMbox(delivery, *task.files, task.now, &names);
  MaildirBatch batch(fields[kHost], &names, task.mark);
  batch.Deliver({&delivery});
  return delivery.outcome;
}

std::string RunProgramFor(const rt::HelperTask& task, const Fields& fields) {
  if (fields.size() < kProgramFields) return Answer(InvalidArgument("a request that is not whole"));
  const std::optional<uint64_t> seconds = ParseUint(fields[kTime], 1 << 20);
  const std::optional<uint64_t> limit = ParseUint(fields[kOutputLimit], 1 << 20);
  const std::optional<uint64_t> arguments = ParseUint(fields[kArguments], kMaxFields);
  if (!seconds || !limit || !arguments || fields.size() < kProgramFields + *arguments)
    return Answer(InvalidArgument("a request that is not whole"));
  rt::ProcessSpec spec;
  const auto first = fields.begin() + static_cast<ptrdiff_t>(kProgramFields);
  spec.argv.assign(first, first + static_cast<ptrdiff_t>(*arguments));
  spec.environment.assign(first + static_cast<ptrdiff_t>(*arguments), fields.end());
  spec.directory = fields[kDirectory];
  spec.time_limit = std::min(absl::Seconds(static_cast<int64_t>(*seconds)), kMaxProgramTime);
  spec.output_limit_bytes = static_cast<size_t>(*limit);
  if (!IsProgramOfMail(spec.argv)) return Answer(PermissionDenied("only a mail command is run"));
  if (task.payload != nullptr) {
    const StatusOr<rt::FileInfo> info = task.payload->Stat();
    if (!info.ok()) return Answer(info.status());
    StatusOr<std::string> text = ReadWhole(PayloadBody(task.payload, info->size_bytes));
    if (!text.ok()) return Answer(text.status());
    spec.input = *std::move(text);
  }
  const StatusOr<rt::ProcessResult> end = task.run(spec);
  if (!end.ok()) return Answer(end.status());
  return Answer(OkStatus(),
                {StrCat(end->exit_code), StrCat(end->signal), end->timed_out ? "1" : "0",
                 end->read_all_input ? "1" : "0", end->output});
}

}  // namespace

StatusOr<rt::HelperCall> MailboxCall(const Delivery& delivery, const std::string& host_name,
                                     std::string* text) {
  StatusOr<std::string> whole = ReadWhole(*delivery.body);
  if (!whole.ok()) return whole.status();
  *text = *std::move(whole);
  const LocalTarget& target = delivery.target;
  std::string flags;
  if (delivery.envelope->fresh) flags += 'f';
  if (target.junk) flags += 'j';
  if (target.in_mail_spool) flags += 's';
  Fields fields(kMailboxFields);
  fields[kKind] = target.kind == LocalTarget::Kind::kMbox ? kMbox : kMaildir;
  fields[kPath] = target.path;
  fields[kFlags] = flags;
  fields[kHost] = host_name;
  fields[kId] = queue::EnvelopeIdText(delivery.envelope->id);
  fields[kEnvelope] = queue::EncodeEnvelope(*delivery.envelope);
  rt::HelperCall call;
  call.who = *target.run_as;
  call.request = rt::EncodeFields(fields);
  call.payload = std::string_view(text->data(), text->size());
  return call;
}

Status MailboxOutcome(const StatusOr<std::string>& answer) {
  if (!answer.ok()) return answer.status();
  const std::optional<Fields> fields = rt::DecodeFields(*answer, kMaxFields);
  if (!fields) return Unavailable("the helper's answer is not whole");
  return rt::StatusOfFields(*fields, 0);
}

rt::HelperCall ProgramCall(const rt::ProcessSpec& spec) {
  Fields fields(kProgramFields);
  fields[kKind] = kProgram;
  fields[kDirectory] = spec.directory;
  fields[kTime] = StrCat(absl::ToInt64Seconds(spec.time_limit));
  fields[kOutputLimit] = StrCat(spec.output_limit_bytes);
  fields[kArguments] = StrCat(spec.argv.size());
  fields.insert(fields.end(), spec.argv.begin(), spec.argv.end());
  fields.insert(fields.end(), spec.environment.begin(), spec.environment.end());
  rt::HelperCall call;
  call.who = *spec.run_as;
  call.time_limit = std::min(spec.time_limit, kMaxProgramTime) + kProgramFarewell;
  call.request = rt::EncodeFields(fields);
  call.payload = spec.input;
  return call;
}

StatusOr<rt::ProcessResult> ProgramOutcome(const StatusOr<std::string>& answer) {
  if (!answer.ok()) return answer.status();
  const std::optional<Fields> fields = rt::DecodeFields(*answer, kMaxFields);
  if (!fields) return Unavailable("the helper's answer is not whole");
  POSTERN_RETURN_IF_ERROR(rt::StatusOfFields(*fields, 0));
  if (fields->size() != 7) return Unavailable("the helper's answer is not whole");
  rt::ProcessResult end;
  end.exit_code = static_cast<int>(ParseUint((*fields)[2], 255).value_or(75));
  end.signal = static_cast<int>(ParseUint((*fields)[3], 255).value_or(9));
  end.timed_out = (*fields)[4] == "1";
  end.read_all_input = (*fields)[5] == "1";
  end.output = (*fields)[6];
  return end;
}

std::string SpoolMailboxOf(std::string_view request) {
  const std::optional<Fields> fields = rt::DecodeFields(request, kMaxFields);
  if (!fields || fields->size() != kMailboxFields || (*fields)[kKind] != kMbox) return "";
  if ((*fields)[kFlags].find('s') == std::string::npos) return "";
  const std::string& path = (*fields)[kPath];
  if (!path.starts_with(kMailSpool)) return "";
  std::string name = path.substr(kMailSpool.size());
  return name.find('/') == std::string::npos ? name : "";
}

std::string DoDelivery(const rt::HelperTask& task) {
  const std::optional<Fields> fields = rt::DecodeFields(task.request, kMaxFields);
  if (!fields || fields->empty()) return Answer(InvalidArgument("a request that is not whole"));
  const std::string& kind = fields->front();
  if (kind == kProgram) return RunProgramFor(task, *fields);
  if (kind == kMaildir || kind == kMbox) return Answer(DeliverToMailbox(task, *fields));
  return Answer(InvalidArgument("a request of no known kind"));
}

}  // namespace postern::deliver
