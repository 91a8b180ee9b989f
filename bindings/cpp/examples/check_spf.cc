// Says what SPF and reverse DNS think of a client: check_spf ADDRESS SENDER [HELO]. With no words
// it tries a zone of its own.
#include <cstdio>
#include <string>

#include <postern/spf.hpp>

int main(int argc, char** argv) {
  const bool demo = argc < 3;
  postern::Result<postern::Resolver> resolver =
      demo ? postern::Resolver::FromFunction(
                 [](std::string_view name, uint16_t type, postern::DnsAnswer& answer) {
                   if (name == "example.org" && type == 16) answer.Add("\"v=spf1 mx -all\"");
                   if (name == "example.org" && type == 15) answer.Add("10 mail.example.org.");
                   if (name == "mail.example.org" && type == 1) answer.Add("192.0.2.1");
                   if (name == "1.2.0.192.in-addr.arpa" && type == 12)
                     answer.Add("mail.example.org.");
                 })
           : postern::Resolver::FromSystem();
  if (!resolver) {
    std::fprintf(stderr, "%s\n", resolver.error().message.c_str());
    return 2;
  }
  postern::SpfQuery query;
  query.client_ip = demo ? "192.0.2.1" : argv[1];
  query.sender = demo ? "joe@example.org" : argv[2];
  if (argc > 3) query.helo = argv[3];
  const postern::Result<postern::Spf> spf = postern::CheckSpf(*resolver, query);
  if (!spf) {
    std::fprintf(stderr, "%s\n", spf.error().message.c_str());
    return 2;
  }
  std::printf("%s\n", std::string(spf->explanation()).c_str());
  for (const postern::Spf::Step& step : spf->steps())
    std::printf("  %s: %s\n", std::string(step.domain).c_str(), std::string(step.record).c_str());
  const postern::Result<postern::Iprev> iprev = postern::CheckIprev(*resolver, query.client_ip);
  if (iprev) std::printf("%s\n", std::string(iprev->explanation()).c_str());
  return spf->passed() ? 0 : 1;
}
