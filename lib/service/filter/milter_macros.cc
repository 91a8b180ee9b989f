#include "lib/service/filter/milter_macros.h"

#include "lib/core/base/strings.h"
#include "lib/core/tls/certificate.h"

namespace postern::service {
namespace {

bool HasName(const SmtpSessionFacts& facts) {
  return !facts.reverse_name.empty() && facts.reverse_confirmed;
}

bool IsLocal(const SmtpSessionFacts& facts) {
  return facts.listener->is_local_socket || facts.remote.is_unix();
}

std::string AddressOf(const SmtpSessionFacts& facts) {
  return IsLocal(facts) ? "127.0.0.1" : facts.remote.address.ToString();
}

}  // namespace

std::string MilterClientName(const SmtpSessionFacts& facts) {
  if (IsLocal(facts)) return "localhost";
  return HasName(facts) ? facts.reverse_name : StrCat("[", AddressOf(facts), "]");
}

void SetConnectMacros(const SmtpSessionFacts& facts, milter::MacroTable* table) {
  const std::string& host = facts.listener->options->hostname;
  const std::string address = AddressOf(facts);
  const std::string name = IsLocal(facts)   ? "localhost"
                           : HasName(facts) ? facts.reverse_name
                                            : "unknown";
  table->Set("j", host);
  table->Set("v", "Postern");
  table->Set("{daemon_name}", facts.listener->tag.empty() ? host : facts.listener->tag);
  if (!facts.local.is_unix()) {
    table->Set("{daemon_addr}", facts.local.address.ToString());
    table->Set("{daemon_port}", StrCat(facts.local.port));
  }
  table->Set("_", StrCat(name, " [", address, "]"));
  table->Set("{client_addr}", address);
  table->Set("{client_port}", StrCat(facts.remote.port));
  table->Set("{client_name}", name);
  table->Set("{client_ptr}", facts.reverse_name.empty() ? name : facts.reverse_name);
  table->Set("{client_resolve}", IsLocal(facts) || HasName(facts) ? "OK"
                                 : facts.reverse_name.empty()     ? "FAIL"
                                                                  : "FORGED");
}

void SetHeloMacros(const SmtpSessionFacts& facts, milter::MacroTable* table) {
  if (!facts.tls.has_value()) {
    for (const char* name : {"{tls_version}", "{cipher}", "{cipher_bits}", "{verify}",
                             "{cert_subject}", "{cert_issuer}"}) {
      table->Unset(name);
    }
    return;
  }
  const rt::TlsInfo& tls = *facts.tls;
  table->Set("{tls_version}", tls.version);
  table->Set("{cipher}", tls.cipher);
  table->Set("{cipher_bits}", StrCat(tls.cipher_bits));
  const bool has_certificate = !tls.peer_certificate_der.empty();
  table->Set("{verify}", !has_certificate ? "NO" : tls.peer_verified ? "OK" : "FAIL");
  if (!has_certificate) return;
  const StatusOr<tls::CertificateInfo> certificate =
      tls::DescribeCertificate(tls.peer_certificate_der);
  if (!certificate.ok()) return;
  table->Set("{cert_subject}", certificate->subject);
  table->Set("{cert_issuer}", certificate->issuer);
}

void SetMailMacros(const SmtpSessionFacts& facts, const mail::Address& sender,
                   std::string_view message_id, std::string_view mechanism,
                   milter::MacroTable* table) {
  if (message_id.empty()) {
    table->Unset("i");
  } else {
    table->Set("i", message_id);
  }
  if (facts.auth_user.empty()) {
    for (const char* name : {"{auth_type}", "{auth_authen}"}) table->Unset(name);
  } else {
    table->Set("{auth_type}", mechanism);
    table->Set("{auth_authen}", facts.auth_user);
  }
  // {auth_author} is another than who logged in, {auth_ssf} the strength of a layer that SASL makes
  // itself: neither is ever there.
  table->Set("{mail_addr}", sender.empty() ? std::string() : sender.ToString());
  table->Set("{mail_host}", sender.domain);
  table->Set("{mail_mailer}", "smtp");
}

void SetRcptMacros(const mail::Address& recipient, milter::MacroTable* table) {
  table->Set("{rcpt_addr}", recipient.ToString());
  table->Set("{rcpt_host}", recipient.domain);
  table->Set("{rcpt_mailer}", "smtp");
}

void SetRejectedRcptMacros(const mail::Reply& reply, milter::MacroTable* table) {
  table->Set("{rcpt_mailer}", "error");
  table->Set("{rcpt_host}", reply.status.empty() ? "5.0.0" : reply.status.ToString());
  table->Set("{rcpt_addr}", reply.ToString());
}

}  // namespace postern::service
