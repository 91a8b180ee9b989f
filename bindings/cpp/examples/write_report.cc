// Checks three messages, counts them in an aggregate report about their domain (RFC 9990), prints
// the mail that would carry it, and reads that again as the domain's owner would.
#include <cstdio>
#include <string>

#include <postern/auth.hpp>

namespace {

constexpr char kZone[] =
    "example.org. TXT \"v=spf1 ip4:192.0.2.1 -all\"\n"
    "_dmarc.example.org. TXT \"v=DMARC1; p=reject; rua=mailto:reports@example.org\"\n";

constexpr char kMessage[] = "From: Joe <joe@example.org>\r\nSubject: hello\r\n\r\nHello.\r\n";

void Print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

int Fail(const postern::Error& error) {
  std::fprintf(stderr, "%s\n", error.message.c_str());
  return 1;
}

int Run(postern_resolver* resolver) {
  const auto policy = postern::DmarcDiscovery::Of(resolver, "example.org");
  if (!policy.ok()) return Fail(policy.error());
  postern_dmarc_report_options options = POSTERN_DMARC_REPORT_OPTIONS_INIT;
  options.org_name = "Example Mail";
  options.email = "postmaster@example.com";
  options.report_id = "2026-11-21.1";
  options.begin_unix_s = 1795219200;
  options.end_unix_s = 1795305600;
  auto report = postern::DmarcReport::About(policy->policy_domain(), policy->record(), options);
  if (!report.ok()) return Fail(report.error());

  for (const char* client : {"192.0.2.1", "192.0.2.1", "198.51.100.9"}) {
    postern::Connection connection;
    connection.client_address = client;
    connection.mail_from = "joe@example.org";
    const auto found = postern::Authentication::Check(resolver, kMessage, connection);
    if (!found.ok()) return Fail(found.error());
    // What the domain asks for is done here.
    const auto row = found->ReportRow(found->disposition(), "example.com");
    if (!row.ok()) return Fail(row.error());
    const auto added = report->Add(*row);
    if (!added.ok()) return Fail(added.error());
  }

  const auto mail = report->Mail("example.com", "postmaster@example.com", {"reports@example.org"});
  if (!mail.ok()) return Fail(mail.error());
  Print(*mail);
  const auto read = postern::DmarcReports::Read(*mail);
  if (!read.ok()) return Fail(read.error());
  Print(read->text(0));
  return 0;
}

}  // namespace

int main() {
  postern_resolver* resolver = nullptr;
  if (postern_resolver_new_zone(&resolver, kZone, sizeof kZone - 1, nullptr) != POSTERN_OK)
    return 2;
  const int result = Run(resolver);
  postern_resolver_free(resolver);
  return result;
}
