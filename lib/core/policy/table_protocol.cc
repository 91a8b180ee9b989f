#include "lib/core/policy/table_protocol.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

constexpr std::string_view kVersion = "0.1";
constexpr size_t kIdDigits = 8;

struct OperationWords {
  TableOperation operation;
  std::string_view asked;
  std::string_view answered;
};
constexpr OperationWords kOperations[] = {
    {TableOperation::kCheck, "check", "check-result"},
    {TableOperation::kLookup, "lookup", "lookup-result"},
    {TableOperation::kFetch, "fetch", "fetch-result"},
    {TableOperation::kUpdate, "update", "update-result"},
};

// Cut takes what stands before the next '|', and the '|', off `*text`.
std::string_view Cut(std::string_view* text) {
  const size_t bar = text->find('|');
  const std::string_view field = text->substr(0, bar);
  *text = bar == std::string_view::npos ? std::string_view() : text->substr(bar + 1);
  return field;
}

// ReadId reads exactly eight hexadecimal digits.
std::optional<uint32_t> ReadId(std::string_view text) {
  if (text.size() != kIdDigits) return std::nullopt;
  uint32_t id = 0;
  for (const char c : text) {
    const char lower = AsciiToLower(c);
    const bool is_digit = lower >= '0' && lower <= '9';
    if (!is_digit && (lower < 'a' || lower > 'f')) return std::nullopt;
    id = id * 16 + static_cast<uint32_t>(is_digit ? lower - '0' : lower - 'a' + 10);
  }
  return id;
}

Status Nonsense(std::string_view line) {
  return InvalidArgument(
      StrCat("the program says \"", Escape(line, 120), "\", which is none of the table protocol"));
}

}  // namespace

std::string TableGreeting(std::string_view version, std::string_view table_name) {
  return StrCat("config|smtpd-version|", version, "\nconfig|protocol|", kVersion,
                "\nconfig|tablename|", table_name, "\nconfig|ready\n");
}

StatusOr<std::string> FormatTableRequest(const TableRequest& request, std::string_view table_name,
                                         WallTime now) {
  constexpr std::string_view kUnsayable("\r\n\0", 3);
  if (request.key.find_first_of(kUnsayable) != std::string_view::npos)
    return InvalidArgument("a key with a line end in it cannot be asked");
  const auto* words =
      std::find_if(std::begin(kOperations), std::end(kOperations),
                   [&](const OperationWords& row) { return row.operation == request.operation; });
  constexpr int64_t kMicrosASecond = 1'000'000;
  const int64_t micros = std::max<int64_t>(absl::ToUnixMicros(now), 0);
  std::string fraction = StrCat(micros % kMicrosASecond);
  fraction.insert(0, 6 - fraction.size(), '0');
  std::string line = StrCat("table|", kVersion, "|", micros / kMicrosASecond, ".", fraction, "|",
                            table_name, "|", words->asked, "|");
  if (request.operation != TableOperation::kUpdate) StrAppend(line, request.service, "|");
  StrAppend(line, Hex(request.id, kIdDigits));
  if (request.operation == TableOperation::kCheck || request.operation == TableOperation::kLookup)
    StrAppend(line, "|", request.key);
  line.push_back('\n');
  return line;
}

Status TableReader::Feed(std::string_view octets, std::vector<TableAnswer>* answers) {
  while (!octets.empty()) {
    const size_t end = octets.find('\n');
    const std::string_view piece = octets.substr(0, end);
    if (rest_.size() + piece.size() > options_.max_line_bytes)
      return ResourceExhausted(
          StrCat("the program says a line of more than ", options_.max_line_bytes, " octets"));
    if (end == std::string_view::npos) {
      rest_.append(piece);
      return OkStatus();
    }
    octets.remove_prefix(end + 1);
    Status taken;
    if (rest_.empty()) {
      taken = TakeLine(piece, answers);
    } else {
      rest_.append(piece);
      taken = TakeLine(rest_, answers);
      rest_.clear();
    }
    if (!taken.ok()) return taken;
  }
  return OkStatus();
}

Status TableReader::TakeLine(std::string_view line, std::vector<TableAnswer>* answers) {
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  std::string_view rest = line;
  const std::string_view word = Cut(&rest);
  if (word == "register" && !ready_) {
    if (rest == "ready") {
      if (services_.empty()) return FailedPrecondition("the program has no service at all");
      ready_ = true;
      return OkStatus();
    }
    if (rest.empty() || rest.find('|') != std::string_view::npos) return Nonsense(line);
    if (services_.size() >= options_.max_services)
      return ResourceExhausted(
          StrCat("the program names more than ", options_.max_services, " services"));
    services_.emplace_back(rest);
    return OkStatus();
  }
  const auto* words = std::find_if(std::begin(kOperations), std::end(kOperations),
                                   [&](const OperationWords& row) { return row.answered == word; });
  if (words == std::end(kOperations) || !ready_) return Nonsense(line);

  TableAnswer answer;
  answer.operation = words->operation;
  const std::optional<uint32_t> id = ReadId(Cut(&rest));
  if (!id) return Nonsense(line);
  answer.id = *id;
  const bool has_text = rest.find('|') != std::string_view::npos;
  const std::string_view outcome = Cut(&rest);
  const bool gives_value =
      answer.operation == TableOperation::kLookup || answer.operation == TableOperation::kFetch;
  if (outcome == "error") {
    answer.kind = TableAnswer::Kind::kError;
    answer.text = std::string(rest);
  } else if (outcome == "not-found" && !has_text && answer.operation != TableOperation::kUpdate) {
    answer.kind = TableAnswer::Kind::kNotFound;
  } else if (outcome == "found" && answer.operation == TableOperation::kCheck && !has_text) {
    answer.kind = TableAnswer::Kind::kFound;
  } else if (outcome == "found" && gives_value && has_text) {
    if (rest.find('\0') != std::string_view::npos) return Nonsense(line);
    answer.kind = TableAnswer::Kind::kFound;
    answer.text = std::string(rest);
  } else if (outcome == "ok" && answer.operation == TableOperation::kUpdate && !has_text) {
    answer.kind = TableAnswer::Kind::kUpdated;
  } else {
    return Nonsense(line);
  }
  answers->push_back(std::move(answer));
  return OkStatus();
}

bool TableReader::Serves(std::string_view service) const {
  return std::find(services_.begin(), services_.end(), service) != services_.end();
}

}  // namespace postern::policy
