// The one place where a shell is started. What it gets as its text is a policy::ShellCommand, which
// is made of what an operator wrote and nothing else; everything that came by SMTP is in the
// environment or on the standard input. tools/dev/check_layers.py holds the tree to that.
#include "lib/service/deliver/program.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/rt/helper.h"

namespace postern::deliver {
namespace {

constexpr const char* kShell[] = {"/bin/sh", "-c"};
// The descriptor is rt::kHandBackDescriptor. A simple command, so that `nice %{mda}` works as well.
constexpr char kHandBack[] = "/bin/sh -c 'printf M >&3 && exec cat >&3'";
static_assert(rt::kHandBackDescriptor == 3);
constexpr char kHandBackMark = 'M';
constexpr int kOsError = 71;           // EX_OSERR of sysexits
constexpr int kTemporaryFailure = 75;  // EX_TEMPFAIL

// Variable makes "NAME=value", with a value that is safe in any program's environment.
std::string Variable(std::string_view name, std::string_view value) {
  std::string text = StrCat(name, "=");
  for (const char c : value) {
    const unsigned char octet = static_cast<unsigned char>(c);
    text.push_back(octet < 0x20 || octet == 0x7f ? ':' : c);
  }
  if (value.starts_with("()")) text[name.size() + 1] = ':';
  return text;
}

}  // namespace

std::string_view HandBackCommand() { return kHandBack; }

std::optional<std::string_view> HandedBack(const rt::ProcessResult& end) {
  std::string_view text = end.handed_back;
  if (text.empty() || text.front() != kHandBackMark) return std::nullopt;
  text.remove_prefix(1);
  return text;
}

size_t HandBackLimit(size_t size, const ProgramOptions& options) {
  return std::min(options.hand_back_factor * size + options.hand_back_bytes,
                  rt::kMaxHelperHandBackBytes);
}

rt::ProcessSpec ProgramFor(const queue::Envelope& envelope, const LocalTarget& target,
                           const ProgramOptions& options) {
  rt::ProcessSpec spec;
  spec.argv = {kShell[0], kShell[1], target.command.text()};
  spec.environment = {
      "PATH=/usr/local/bin:/usr/bin:/bin",
      Variable("DOMAIN", envelope.recipient.domain),
      Variable("HOME", target.home),
      Variable("ORIGINAL_RECIPIENT", envelope.recipient.ToString()),
      Variable("RECIPIENT", envelope.destination.ToString()),
      StrCat("SHELL=", kShell[0]),
      Variable("LOCAL", envelope.recipient.local_part),
      Variable("LOGNAME", target.user),
      Variable("USER", target.user),
      Variable("SENDER", envelope.sender.address.ToString()),
  };
  if (!envelope.sub_address.empty())
    spec.environment.push_back(Variable("EXTENSION", envelope.sub_address));
  for (const std::string& each : target.command.environment()) {
    const size_t equals = each.find('=');
    spec.environment.push_back(Variable(each.substr(0, equals), each.substr(equals + 1)));
  }
  spec.directory = target.home;
  spec.run_as = target.run_as;
  spec.time_limit = options.time_limit;
  spec.output_limit_bytes = options.max_output_bytes;
  return spec;
}

rt::ProcessSpec ProgramOfOperator(const policy::ShellCommand& command) {
  rt::ProcessSpec spec;
  spec.argv = {kShell[0], kShell[1], command.text()};
  spec.environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  spec.directory = "/";
  return spec;
}

bool IsProgramOfMail(const std::vector<std::string>& argv) {
  return argv.size() == 3 && argv[0] == kShell[0] && argv[1] == kShell[1];
}

std::string LastLine(std::string_view output, size_t limit) {
  while (!output.empty()) {
    const size_t lf = output.rfind('\n');
    const std::string_view line =
        Trim(lf == std::string_view::npos ? output : output.substr(lf + 1));
    if (!line.empty()) {
      std::string text;
      for (const char c : line.substr(0, limit)) text.push_back(IsAsciiPrintable(c) ? c : '?');
      return text;
    }
    if (lf == std::string_view::npos) break;
    output = output.substr(0, lf);
  }
  return "";
}

schedule::DeliveryResult ProgramResult(const queue::Envelope& envelope,
                                       const rt::ProcessResult& end,
                                       const ProgramOptions& options) {
  using Outcome = schedule::DeliveryResult::Outcome;
  schedule::DeliveryResult result;
  result.id = envelope.id;
  std::string line = LastLine(end.output, options.max_line_bytes);
  const auto fail = [&result](Outcome outcome, std::string text, mail::EnhancedStatus status) {
    result.outcome = outcome;
    result.text = std::move(text);
    result.status = status;
  };
  const mail::EnhancedStatus kTemporary{4, 3, 0}, kPermanent{5, 3, 0};
  if (end.handed_too_much) {
    fail(Outcome::kTemporary, "the wrapper made too large a message of it", kTemporary);
  } else if (end.timed_out) {
    fail(Outcome::kTemporary, "terminated; timeout", kTemporary);
  } else if (end.signal != 0) {
    fail(Outcome::kTemporary, StrCat("terminated; signal ", end.signal), kTemporary);
  } else if (end.exit_code != 0) {
    if (line.empty()) line = StrCat("exited abnormally (", end.exit_code, ")");
    const bool later = end.exit_code == kOsError || end.exit_code == kTemporaryFailure;
    fail(later ? Outcome::kTemporary : Outcome::kPermanent, std::move(line),
         later ? kTemporary : kPermanent);
  } else if (!end.read_all_input) {
    fail(Outcome::kTemporary, "mda exited prematurely", kTemporary);
  } else {
    result.outcome = Outcome::kDelivered;
    result.text = "Delivered";
    result.status = mail::EnhancedStatus{2, 0, 0};
  }
  return result;
}

}  // namespace postern::deliver
