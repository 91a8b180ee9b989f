// The words for versions of TLS, as `protocols` has them: those of LibreSSL's libtls, which
// OpenSMTPD hands them to.

#include <iterator>

#include "lib/core/base/strings.h"
#include "lib/core/policy/parse.h"

namespace postern::policy {
namespace {

struct Word {
  std::string_view name;
  bool tls12;
  bool tls13;
  bool older;  // means versions that RFC 8996 has put away
};
constexpr Word kWords[] = {
    {"tlsv1.2", true, false, false}, {"tlsv1.3", false, true, false}, {"tlsv1", true, true, true},
    {"tlsv1.0", false, false, true}, {"tlsv1.1", false, false, true}, {"all", true, true, true},
    {"legacy", true, true, true},    {"default", true, true, false},  {"secure", true, true, false},
    {"sslv3", false, false, true},
};

}  // namespace

StatusOr<TlsProtocols> ParseTlsProtocols(std::string_view text) {
  TlsProtocols out{.tls12 = false, .tls13 = false, .older = false};
  bool first = true;
  std::string spaced(text);
  for (char& c : spaced) {
    if (c == ':' || c == ',') c = ' ';
  }
  for (std::string_view item : SplitWords(spaced)) {
    const bool without = item.front() == '!';
    if (without) item.remove_prefix(1);
    const Word* found = nullptr;
    std::vector<std::string> known;
    for (const Word& row : kWords) {
      known.emplace_back(row.name);
      if (EqualsIgnoreCase(row.name, item)) found = &row;
    }
    if (found == nullptr) {
      return InvalidArgument(StrCat("unknown TLS version \"", Escape(item, 40),
                                    "\": TLSv1.2 and TLSv1.3 are there",
                                    DidYouMean(AsciiLower(item), known)));
    }
    // A list that begins with what is not wanted is about all there are.
    if (without && first) out = TlsProtocols{.tls12 = true, .tls13 = true, .older = false};
    first = false;
    if (without) {
      out.tls12 = out.tls12 && !found->tls12;
      out.tls13 = out.tls13 && !found->tls13;
    } else {
      out.tls12 = out.tls12 || found->tls12;
      out.tls13 = out.tls13 || found->tls13;
      // "all" asks for what there is, "TLSv1.0" for that one.
      out.older = out.older || (found->older && !found->tls12);
    }
  }
  if (out.tls12 || out.tls13) return out;
  return InvalidArgument(
      StrCat("protocols \"", Escape(text, 80),
             "\" leaves no version of TLS: TLSv1.2 and TLSv1.3 are there (RFC 8996)"));
}

}  // namespace postern::policy
