#include "lib/core/smtp/server_commands.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/smtp/extensions.h"

namespace postern::smtp {
namespace {

using mail::Reply;

std::string_view TrimBlanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// SkipKeyword drops "FROM:" or "TO:" and blanks behind it, which RFC 5321 §3.3 forbids and many
// senders write.
bool SkipKeyword(std::string_view keyword, std::string_view& text) {
  if (!StartsWithIgnoreCase(text, keyword)) return false;
  text.remove_prefix(keyword.size());
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  return true;
}

// TakeRecipient reads a path in brackets, or an address without them, which RFC 5321 §4.1.2 does
// not know and old senders write.
StatusOr<mail::Address> TakeRecipient(std::string_view text, const mail::AddressOptions& options,
                                      std::string_view* rest) {
  if (!text.empty() && text.front() == '<')
    return mail::ParsePath(text, /*allow_null=*/false, options, rest);
  const size_t end = std::min(text.find(' '), text.size());
  *rest = text.substr(end);
  return mail::ParseAddress(text.substr(0, end), options);
}

}  // namespace

CommandLine ParseCommandLine(std::string_view line) {
  CommandLine result;
  for (const char c : line) {
    if (IsAscii(c) && !IsAsciiPrintable(c) && c != '\t') return result;
  }
  const size_t end = std::min(line.find_first_of(" \t"), line.size());
  result.verb = line.substr(0, end);
  result.arguments = TrimBlanks(line.substr(end));
  result.command = FindCommand(result.verb);
  return result;
}

std::optional<std::string_view> HelloName(std::string_view arguments) {
  // RFC 5321 §4.1.1.1: one argument; a blank inside it is as bad as any other octet.
  const std::string_view name = arguments;
  if (name.empty() || name.size() > mail::kMaxDomainBytes) return std::nullopt;
  for (const char c : name) {
    // RFC 6531 §3.7.1 lets U-labels stand here.
    if (!IsAscii(c) || IsAsciiAlnum(c)) continue;
    if (std::string_view("-._:[]").find(c) == std::string_view::npos) return std::nullopt;
  }
  if (!mail::IsValidUtf8(name)) return std::nullopt;
  return name;
}

Reply ParseMail(std::string_view arguments, uint32_t offered, const ServerOptions& options,
                mail::ReversePath& path) {
  if (!SkipKeyword("FROM:", arguments))
    return Reply(501, {5, 5, 4}, "Invalid command arguments: MAIL FROM:<address> is wanted");
  const mail::AddressOptions address_options{.allow_utf8 = (offered & kExtensionSmtpUtf8) != 0,
                                             .allow_no_domain = false};
  std::string_view rest;
  StatusOr<mail::Address> address =
      mail::ParsePath(arguments, /*allow_null=*/true, address_options, &rest);
  if (!address.ok()) {
    // RFC 5321 §4.1.2 wants the brackets, and smtpd insists on them here.
    const bool bare = !arguments.empty() && arguments.front() != '<';
    return Reply(
        553, {5, 1, 0},
        bare ? "Sender address syntax error: it belongs in <>" : "Sender address syntax error");
  }
  path.address = *std::move(address);
  if (Reply reply = ParseMailParameters(rest, offered, options, path); reply.code != 0)
    return reply;
  // RFC 6531 §3.5: an address outside ASCII wants the parameter.
  if (!path.smtputf8 && path.address.IsInternational())
    return Reply(553, {5, 6, 7}, "Sender address needs SMTPUTF8");
  return {};
}

Reply ParseRcpt(std::string_view arguments, uint32_t offered, const ServerOptions& options,
                bool smtputf8, mail::ForwardPath& path) {
  if (!SkipKeyword("TO:", arguments))
    return Reply(501, {5, 5, 4}, "Invalid command arguments: RCPT TO:<address> is wanted");
  const mail::AddressOptions address_options{.allow_utf8 = (offered & kExtensionSmtpUtf8) != 0,
                                             .allow_no_domain = true};
  std::string_view rest;
  StatusOr<mail::Address> address = TakeRecipient(arguments, address_options, &rest);
  if (!address.ok()) return Reply(501, {5, 1, 3}, "Recipient address syntax error");
  path.address = *std::move(address);
  if (path.address.domain.empty()) {
    // RFC 5321 §4.1.1.3: "postmaster" alone is always a recipient.
    if (options.qualify_domain.empty() &&
        !EqualsIgnoreCase(path.address.local_part, "postmaster")) {
      return Reply(501, {5, 1, 3}, "Recipient address syntax error");
    }
    path.address.domain = options.qualify_domain;
  }
  if (Reply reply = ParseRcptParameters(rest, offered, options, path); reply.code != 0)
    return reply;
  if (!smtputf8 && path.address.IsInternational())
    return Reply(553, {5, 6, 7}, "Recipient address needs SMTPUTF8");
  return {};
}

std::optional<BdatArguments> ParseBdat(std::string_view arguments) {
  const size_t end = std::min(arguments.find(' '), arguments.size());
  const std::optional<uint64_t> size = ParseUint(arguments.substr(0, end));
  if (!size.has_value()) return std::nullopt;
  const std::string_view rest = TrimBlanks(arguments.substr(end));
  if (!rest.empty() && !EqualsIgnoreCase(rest, "LAST")) return std::nullopt;
  return BdatArguments{*size, !rest.empty()};
}

std::optional<AuthArguments> ParseAuth(std::string_view arguments) {
  const size_t end = std::min(arguments.find(' '), arguments.size());
  AuthArguments result;
  result.mechanism = arguments.substr(0, end);
  // RFC 4422 §3.1: 1 to 20 of upper-case letters, digits, hyphen and underscore.
  if (result.mechanism.empty() || result.mechanism.size() > 20) return std::nullopt;
  const std::string_view rest = TrimBlanks(arguments.substr(end));
  if (!rest.empty()) {
    if (rest.find(' ') != std::string_view::npos) return std::nullopt;
    result.initial_response = rest;
  }
  return result;
}

}  // namespace postern::smtp
