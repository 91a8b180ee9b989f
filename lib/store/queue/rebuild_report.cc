#include "lib/store/queue/rebuild_report.h"

#include <utility>

#include "lib/core/base/strings.h"

namespace postern::store {
namespace {

// The report lists everything; the log stops here and refers to it.
constexpr size_t kMaxNamedInLog = 10'000;
constexpr size_t kWriteBytes = 64 * 1024;
// An address is at most 320 octets (RFC 5321 §4.5.3.1), each of them escaped as four.
constexpr size_t kMaxAddressBytes = 4 * 320;

}  // namespace

Parties PartiesOf(const queue::Envelope& envelope) {
  return {.sender = envelope.sender.address.ToString(), .recipient = envelope.recipient.ToString()};
}

Status RebuildReport::Open(rt::Files& files, const std::string& path) {
  rt::OpenOptions open;
  open.write = open.create = open.truncate = true;
  StatusOr<std::unique_ptr<rt::File>> file = files.Open(path, open);
  if (!file.ok()) return file.status();
  file_ = *std::move(file);
  return OkStatus();
}

void RebuildReport::Tell(std::string_view line) {
  StrAppend(text_, line, "\n");
  if (text_.size() >= kWriteBytes) Write();
}

void RebuildReport::Write() {
  if (outcome_.ok()) outcome_ = file_->WriteAt(written_bytes_, text_);
  written_bytes_ += text_.size();
  text_.clear();
}

void RebuildReport::Name(LogLevel level, std::string_view event, std::string_view field,
                         std::string id, const Parties& parties) {
  std::string line = StrCat(event, ": ", id);
  LogRecord record;
  record.level = level;
  record.subsystem = "queue";
  record.event = std::string(event);
  record.fields.push_back(LogField{field, std::move(id)});
  for (const auto& [name, address] :
       {std::pair{std::string_view("from"), &parties.sender}, {"to", &parties.recipient}}) {
    if (!*address) continue;
    StrAppend(line, " ", name, "=<", Escape(**address, kMaxAddressBytes), ">");
    record.fields.push_back(LogField{name, StrCat("<", **address, ">")});
  }
  Tell(line);
  if (++named_ <= kMaxNamedInLog) log_.Write(record);
}

Status RebuildReport::Finish() {
  Write();
  POSTERN_RETURN_IF_ERROR(outcome_);
  return file_->Sync();
}

}  // namespace postern::store
