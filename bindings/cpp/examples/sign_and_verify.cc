// Signs a letter with a new key, verifies it as its receiver would, seals it as a mailing list
// might, and shows what happens when somebody changes it on the way.
#include <cstdio>
#include <string>

#include <postern/arc.hpp>
#include <postern/dkim.hpp>

namespace {

const char kLetter[] =
    "From: Ann <ann@example.org>\r\nTo: Bob <bob@example.net>\r\nSubject: Tea\r\n"
    "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\nAt four?\r\n";

// Check verifies `message` and prints what comes of it.
int32_t Check(const std::string& message, const postern::Resolver& resolver) {
  postern::Result<postern::DkimVerifier> verifier = postern::DkimVerifier::New();
  if (!verifier || !verifier->Feed(message)) return -1;
  const postern::Result<postern::Dkim> dkim = verifier->Finish(resolver);
  if (!dkim) return -1;
  std::printf("%s\n", std::string(dkim->explanation()).c_str());
  return dkim->result();
}

}  // namespace

int main() {
  postern::Result<postern::DkimKey> key = postern::DkimKey::Generate(POSTERN_DKIM_KEY_ED25519);
  if (!key) return 2;
  const std::string zone = key->ZoneLine("example.org", "tea");
  std::printf("%s", zone.c_str());
  const postern::Result<postern::Resolver> resolver = postern::Resolver::FromZone(zone);
  postern::Result<postern::DkimSigner> signer = postern::DkimSigner::New();
  if (!resolver || !signer || !signer->AddKey(*key, "example.org", "tea")) return 2;
  // A message may come in any pieces.
  for (const char& octet : std::string(kLetter)) {
    if (!signer->Feed(std::string_view(&octet, 1))) return 2;
  }
  const postern::Result<std::string> fields = signer->Finish();
  if (!fields) {
    std::fprintf(stderr, "%s\n", fields.error().message.c_str());
    return 2;
  }
  const std::string message = *fields + kLetter;
  if (Check(message, *resolver) != POSTERN_DKIM_PASS) return 1;
  std::string changed = message;
  changed.replace(changed.find("four"), 4, "five");
  if (Check(changed, *resolver) != POSTERN_DKIM_FAIL) return 1;

  postern_arc_options options = POSTERN_ARC_OPTIONS_INIT;
  options.key = key->get();
  options.domain = "example.org";
  options.selector = "tea";
  options.results = "dkim=pass header.d=example.org";
  postern::Result<postern::ArcReader> reader = postern::ArcReader::New(options);
  if (!reader || !reader->Feed(message) || !reader->Finish(*resolver)) return 2;
  const postern::Result<std::string> set = reader->Seal();
  postern::Result<postern::ArcReader> receiver = postern::ArcReader::New();
  if (!set || !receiver || !receiver->Feed(*set + message)) return 2;
  const postern::Result<postern::Arc> arc = receiver->Finish(*resolver);
  if (!arc) return 2;
  std::printf("%s\n", std::string(arc->explanation()).c_str());
  return arc->passed() ? 0 : 1;
}
