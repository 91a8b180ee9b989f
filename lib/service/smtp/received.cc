#include "lib/service/smtp/received.h"

#include "lib/core/base/strings.h"
#include "lib/core/mail/date.h"

namespace postern::service {
namespace {

// WithProtocol gives the "with" word of RFC 3848 and RFC 6531 §4.3.
std::string WithProtocol(const SmtpSessionFacts& facts, bool smtputf8) {
  if (!facts.extended) return "SMTP";
  std::string word = smtputf8 ? "UTF8SMTP" : "ESMTP";
  if (facts.tls.has_value()) word += 'S';
  if (!facts.auth_user.empty()) word += 'A';
  return word;
}

// Octets that could end the field or hide in it do not come in; SMTP's syntax checks have seen the
// names before.
std::string Plain(std::string_view text) {
  std::string out(text.substr(0, 255));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '(' || c == ')') c = '?';
  }
  return out;
}

}  // namespace

std::string FormatReceived(const SmtpSessionFacts& facts, bool smtputf8,
                           const std::string& message_id, const std::string& single_recipient,
                           WallTime now, int offset_minutes) {
  std::string field = "Received: ";
  if (!facts.listener->mask_source) {
    const std::string reverse_name =
        facts.reverse_name.empty() ? "<unknown>" : Plain(facts.reverse_name);
    const std::string address = facts.remote.is_unix() || facts.listener->is_local_socket
                                    ? "local socket"
                                    : facts.remote.address.ToLiteral();
    StrAppend(field, "from ", Plain(facts.helo), " (", reverse_name, " ", address, ")\r\n\t");
  }
  StrAppend(field, "by ", facts.listener->options->hostname, " (Postern) with ",
            WithProtocol(facts, smtputf8), " id ", message_id);
  if (facts.tls.has_value()) {
    StrAppend(field, " (", facts.tls->version, ":", facts.tls->cipher, ":", facts.tls->cipher_bits,
              ":", facts.tls->peer_verified ? "YES" : "NO", ")");
  }
  if (facts.listener->received_auth && facts.tls.has_value() && !facts.auth_user.empty()) {
    StrAppend(field, " auth=yes user=", Plain(facts.auth_user));
  }
  if (!single_recipient.empty()) StrAppend(field, "\r\n\tfor <", single_recipient, ">");
  StrAppend(field, ";\r\n\t", mail::FormatDate(now, offset_minutes), "\r\n");
  return field;
}

}  // namespace postern::service
