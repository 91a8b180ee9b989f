#include "lib/service/deliver/helper_jobs.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/service/deliver/mbox.h"
#include "lib/service/deliver/program.h"

namespace postern::deliver {
namespace {

constexpr size_t kMaxFields = 512;
constexpr size_t kMaxProgramFields = 64;
constexpr size_t kMaxPathBytes = 4096;  // the kernel takes no more (PATH_MAX)
constexpr char kMaildirs[] = "maildirs";
constexpr char kMbox[] = "mbox";
constexpr char kProgram[] = "program";
constexpr Duration kMaxProgramTime = absl::Hours(1);  // less than rt::HelperOptions::max_time
// A program that takes its whole time is ended by the process that watches it, which is given a
// little more.
constexpr Duration kProgramFarewell = absl::Seconds(20);

using Fields = std::vector<std::string>;

// What stands where in a request for Maildirs, and then for each delivery.
enum MaildirsField : size_t { kKind, kHost, kMaildirsFields };
// … which is all that a request for an mbox has behind its kind.
enum DeliveryField : size_t { kPath, kFlags, kId, kEnvelope, kSize, kDeliveryFields };
constexpr size_t kMboxFields = 1 + kDeliveryFields;
static_assert(kMaildirsFields + kMaxMaildirsOfCall * kDeliveryFields <= kMaxFields);
// … and for a program: then its arguments and its environment.
enum ProgramField : size_t {
  kDirectory = 1,
  kTime,
  kOutputLimit,
  kHandBackLimit,
  kArguments,
  kProgramFields
};
// … and in the answer about one, behind the status.
constexpr size_t kProgramAnswerFields = 9;

// PayloadBody is a message that came with a request, which may have brought several.
class PayloadBody final : public store::Body {
 public:
  PayloadBody(rt::File* file, uint64_t begin, uint64_t size)
      : file_(file), begin_(begin), size_(size) {}
  uint64_t size_bytes() const override { return size_; }
  StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> into) const override {
    if (offset >= size_) return size_t{0};
    return file_->ReadAt(
        begin_ + offset,
        into.subspan(0, static_cast<size_t>(std::min<uint64_t>(into.size(), size_ - offset))));
  }

 private:
  rt::File* file_;
  uint64_t begin_;
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

// Asked is one delivery of a request.
struct Asked {
  queue::Envelope envelope;
  Delivery delivery;
};

// ReadDelivery reads what the fields from `at` on ask for; its message is `size` octets from
// `begin` on of the payload.
Status ReadDelivery(const rt::HelperTask& task, const Fields& fields, size_t at, uint64_t begin,
                    uint64_t size, Asked* asked) {
  StatusOr<queue::Envelope> envelope = queue::DecodeEnvelope(fields[at + kEnvelope]);
  const std::optional<queue::EnvelopeId> id = queue::ParseEnvelopeId(fields[at + kId]);
  if (!envelope.ok() || !id) return InvalidArgument("a request without an envelope");
  const std::string& path = fields[at + kPath];
  if (path.empty() || path.size() > kMaxPathBytes || path[0] != '/' ||
      path.find('\0') != std::string::npos)
    return InvalidArgument("a mailbox without a path");
  const auto flag = [&flags = fields[at + kFlags]](char letter) {
    return flags.find(letter) != std::string::npos;
  };
  asked->envelope = *std::move(envelope);
  asked->envelope.id = *id;
  asked->envelope.fresh = flag('f');
  Delivery& delivery = asked->delivery;
  delivery.envelope = &asked->envelope;
  delivery.body = std::make_shared<PayloadBody>(task.payload, begin, size);
  delivery.target.path = path;
  delivery.target.junk = flag('j');
  delivery.target.in_mail_spool = flag('s');
  delivery.has_headers = flag('h');
  delivery.names_known = flag('n');
  delivery.files = task.files;
  return OkStatus();
}

Status DeliverToMbox(const rt::HelperTask& task, const Fields& fields) {
  if (fields.size() != kMboxFields || task.payload == nullptr)
    return InvalidArgument("a request that is not whole");
  const StatusOr<rt::FileInfo> info = task.payload->Stat();
  if (!info.ok()) return info.status();
  Asked asked;
  POSTERN_RETURN_IF_ERROR(ReadDelivery(task, fields, 1, 0, info->size_bytes, &asked));
  rt::DurableNames names;
  // As one who is in the group of the mail spool, the user makes the mailbox and its lock himself.
  return AppendToMbox(asked.delivery, *task.files, task.now, &names);
}

// DeliverToMaildirs answers with a status of the whole, and where that is good one of each
// delivery.
std::string DeliverToMaildirs(const rt::HelperTask& task, const Fields& fields) {
  if (fields.size() < kMaildirsFields || (fields.size() - kMaildirsFields) % kDeliveryFields != 0 ||
      task.payload == nullptr)
    return Answer(InvalidArgument("a request that is not whole"));
  const StatusOr<rt::FileInfo> info = task.payload->Stat();
  if (!info.ok()) return Answer(info.status());
  std::vector<Asked> asked((fields.size() - kMaildirsFields) / kDeliveryFields);
  std::vector<Delivery*> deliveries;
  uint64_t begin = 0;
  for (size_t i = 0; i < asked.size(); ++i) {
    const size_t at = kMaildirsFields + i * kDeliveryFields;
    const std::optional<uint64_t> size = ParseUint(fields[at + kSize], info->size_bytes - begin);
    if (!size) return Answer(InvalidArgument("a request with less of a message than it says"));
    // What is wrong with one is no harm to the others.
    asked[i].delivery.outcome = ReadDelivery(task, fields, at, begin, *size, &asked[i]);
    if (asked[i].delivery.outcome.ok()) deliveries.push_back(&asked[i].delivery);
    begin += *size;
  }
  // Each call has a process of its own: what the one before knew, the server remembers.
  rt::DurableNames names;
  for (const Delivery* const delivery : deliveries) {
    if (delivery->names_known) names.Know(delivery->target.path);
  }
  MaildirBatch batch(fields[kHost], &names, task.mark);
  batch.Deliver(deliveries);
  Fields outcomes;
  for (const Asked& each : asked) rt::AppendStatus(each.delivery.outcome, &outcomes);
  return Answer(OkStatus(), std::move(outcomes));
}

std::string RunProgramFor(const rt::HelperTask& task, const Fields& fields) {
  if (fields.size() < kProgramFields) return Answer(InvalidArgument("a request that is not whole"));
  const std::optional<uint64_t> seconds = ParseUint(fields[kTime], 1 << 20);
  const std::optional<uint64_t> limit = ParseUint(fields[kOutputLimit], 1 << 20);
  const std::optional<uint64_t> back =
      ParseUint(fields[kHandBackLimit], rt::kMaxHelperHandBackBytes);
  const std::optional<uint64_t> arguments = ParseUint(fields[kArguments], kMaxProgramFields);
  if (!seconds || !limit || !back || !arguments || fields.size() < kProgramFields + *arguments)
    return Answer(InvalidArgument("a request that is not whole"));
  rt::ProcessSpec spec;
  const auto first = fields.begin() + static_cast<ptrdiff_t>(kProgramFields);
  spec.argv.assign(first, first + static_cast<ptrdiff_t>(*arguments));
  spec.environment.assign(first + static_cast<ptrdiff_t>(*arguments), fields.end());
  spec.directory = fields[kDirectory];
  spec.time_limit = std::min(absl::Seconds(static_cast<int64_t>(*seconds)), kMaxProgramTime);
  spec.output_limit_bytes = static_cast<size_t>(*limit);
  spec.hand_back_limit_bytes = static_cast<size_t>(*back);
  if (!IsProgramOfMail(spec.argv)) return Answer(PermissionDenied("only a mail command is run"));
  if (task.payload != nullptr) {
    const StatusOr<rt::FileInfo> info = task.payload->Stat();
    if (!info.ok()) return Answer(info.status());
    StatusOr<std::string> text = ReadWhole(PayloadBody(task.payload, 0, info->size_bytes));
    if (!text.ok()) return Answer(text.status());
    spec.input = *std::move(text);
  }
  const StatusOr<rt::ProcessResult> end = task.run(spec);
  if (!end.ok()) return Answer(end.status());
  return Answer(OkStatus(), {StrCat(end->exit_code), StrCat(end->signal),
                             end->timed_out ? "1" : "0", end->read_all_input ? "1" : "0",
                             end->output, end->handed_back, end->handed_too_much ? "1" : "0"});
}

}  // namespace

namespace {

// AppendDelivery adds one delivery to a request, and its message to `*text`.
Status AppendDelivery(const Delivery& delivery, Fields* fields, std::string* text) {
  const LocalTarget& target = delivery.target;
  std::string flags;
  if (delivery.envelope->fresh) flags += 'f';
  if (target.junk) flags += 'j';
  if (target.in_mail_spool) flags += 's';
  if (delivery.has_headers) flags += 'h';
  if (delivery.names_known) flags += 'n';
  fields->push_back(target.path);
  fields->push_back(std::move(flags));
  fields->push_back(queue::EnvelopeIdText(delivery.envelope->id));
  fields->push_back(queue::EncodeEnvelope(*delivery.envelope));
  fields->push_back(StrCat(delivery.body->size_bytes()));
  if (const std::optional<std::string_view> memory = delivery.body->InMemory()) {
    text->append(*memory);
    return OkStatus();
  }
  StatusOr<std::string> whole = ReadWhole(*delivery.body);
  if (!whole.ok()) return whole.status();
  if (text->empty()) {
    *text = *std::move(whole);
  } else {
    text->append(*whole);
  }
  return OkStatus();
}

rt::HelperCall CallFor(const Delivery& delivery, const Fields& fields, const std::string& text) {
  rt::HelperCall call;
  call.who = *delivery.target.run_as;
  call.request = rt::EncodeFields(fields);
  call.payload = std::string_view(text.data(), text.size());
  return call;
}

}  // namespace

StatusOr<rt::HelperCall> MaildirCall(const std::vector<Delivery*>& deliveries,
                                     const std::string& host_name, std::string* text) {
  text->clear();
  Fields fields = {kMaildirs, host_name};
  for (const Delivery* const delivery : deliveries)
    POSTERN_RETURN_IF_ERROR(AppendDelivery(*delivery, &fields, text));
  return CallFor(*deliveries.front(), fields, *text);
}

std::vector<Status> MaildirOutcomes(const StatusOr<std::string>& answer, size_t count) {
  const Status whole = MboxOutcome(answer);
  std::vector<Status> outcomes(count, whole);
  if (!whole.ok()) return outcomes;
  const std::optional<Fields> fields = rt::DecodeFields(*answer, kMaxFields);
  for (size_t i = 0; i < count; ++i) outcomes[i] = rt::StatusOfFields(*fields, 2 + 2 * i);
  return outcomes;
}

StatusOr<rt::HelperCall> MboxCall(const Delivery& delivery, std::string* text) {
  text->clear();
  Fields fields = {kMbox};
  POSTERN_RETURN_IF_ERROR(AppendDelivery(delivery, &fields, text));
  return CallFor(delivery, fields, *text);
}

Status MboxOutcome(const StatusOr<std::string>& answer) {
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
  fields[kHandBackLimit] =
      StrCat(std::min(spec.hand_back_limit_bytes, rt::kMaxHelperHandBackBytes));
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
  if (fields->size() != kProgramAnswerFields)
    return Unavailable("the helper's answer is not whole");
  rt::ProcessResult end;
  end.exit_code = static_cast<int>(ParseUint((*fields)[2], 255).value_or(75));
  end.signal = static_cast<int>(ParseUint((*fields)[3], 255).value_or(9));
  end.timed_out = (*fields)[4] == "1";
  end.read_all_input = (*fields)[5] == "1";
  end.output = (*fields)[6];
  end.handed_back = (*fields)[7];
  end.handed_too_much = (*fields)[8] == "1";
  return end;
}

std::string SpoolMailboxOf(std::string_view request) {
  const std::optional<Fields> fields = rt::DecodeFields(request, kMaxFields);
  if (!fields || fields->size() != kMboxFields || (*fields)[kKind] != kMbox) return "";
  if ((*fields)[1 + kFlags].find('s') == std::string::npos) return "";
  const std::string& path = (*fields)[1 + kPath];
  if (!path.starts_with(kMailSpool)) return "";
  std::string name = path.substr(kMailSpool.size());
  return name.find('/') == std::string::npos ? name : "";
}

std::string DoDelivery(const rt::HelperTask& task) {
  const std::optional<Fields> fields = rt::DecodeFields(task.request, kMaxFields);
  if (!fields || fields->empty()) return Answer(InvalidArgument("a request that is not whole"));
  const std::string& kind = fields->front();
  if (kind == kProgram) return RunProgramFor(task, *fields);
  if (kind == kMaildirs) return DeliverToMaildirs(task, *fields);
  if (kind == kMbox) return Answer(DeliverToMbox(task, *fields));
  return Answer(InvalidArgument("a request of no known kind"));
}

}  // namespace postern::deliver
