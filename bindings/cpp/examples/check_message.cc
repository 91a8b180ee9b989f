// Checks a message as a receiver does: takes forged results out of its header, runs SPF, DKIM, ARC
// and DMARC, and prints one sentence for each and the field to put in front.
//
//   check_message                      a message made up here, with DNS answers from a zone
//   check_message FILE IP MAIL-FROM    a message in a file, with answers from the network
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include <postern/auth.hpp>

namespace {

constexpr char kZone[] =
    "example.org. TXT \"v=spf1 ip4:192.0.2.1 -all\"\n"
    "_dmarc.example.org. TXT \"v=DMARC1; p=reject\"\n"
    "1.2.0.192.in-addr.arpa. PTR mail.example.org.\n"
    "mail.example.org. A 192.0.2.1\n";

constexpr char kMessage[] =
    "Authentication-Results: mx.example.com; dmarc=pass header.from=example.org\r\n"
    "From: Joe <joe@example.org>\r\nSubject: hello\r\n\r\nHello.\r\n";

std::string ReadFile(const char* path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

void Print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

}  // namespace

int main(int argc, char** argv) {
  const bool from_file = argc == 4;
  postern_resolver* resolver = nullptr;
  const postern_status status =
      from_file ? postern_resolver_new_system(&resolver, nullptr, nullptr)
                : postern_resolver_new_zone(&resolver, kZone, sizeof kZone - 1, nullptr);
  if (status != POSTERN_OK) return 2;
  postern::Connection connection;
  connection.client_address = from_file ? argv[2] : "192.0.2.1";
  connection.mail_from = from_file ? argv[3] : "joe@example.org";
  connection.authserv_id = "mx.example.com";
  const auto message = postern::RemoveForgedResults(from_file ? ReadFile(argv[1]) : kMessage,
                                                    connection.authserv_id);
  int result = 2;
  if (message.ok()) {
    const auto found = postern::Authentication::Check(resolver, *message, connection);
    if (found.ok()) {
      for (std::string_view line : found->explanations()) {
        Print(line);
        Print("\n");
      }
      Print(found->field());
      Print(*message);
      result = found->dmarc() == postern::DmarcCode::kPass ? 0 : 1;
    } else {
      std::fprintf(stderr, "%s\n", found.error().message.c_str());
    }
  }
  postern_resolver_free(resolver);
  return result;
}
