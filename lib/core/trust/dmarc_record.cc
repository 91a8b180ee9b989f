#include "lib/core/trust/dmarc_record.h"

#include <algorithm>
#include <set>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/mail/people_text.h"

namespace postern::trust {
namespace {

bool IsWsp(char c) { return c == ' ' || c == '\t'; }

std::string_view TrimWsp(std::string_view s) {
  while (!s.empty() && IsWsp(s.front())) s.remove_prefix(1);
  while (!s.empty() && IsWsp(s.back())) s.remove_suffix(1);
  return s;
}

// Next cuts the piece before `separator` off the front of `*rest`; false when nothing is left.
bool Next(std::string_view* rest, char separator, std::string_view* piece) {
  if (rest->data() == nullptr) return false;
  const size_t at = rest->find(separator);
  if (at == std::string_view::npos) {
    *piece = *rest;
    *rest = std::string_view();
    return true;
  }
  *piece = rest->substr(0, at);
  // Keeps a pointer, so that an empty last piece is told from the end.
  rest->remove_prefix(at + 1);
  return true;
}

// SplitTag cuts "name = value".
bool SplitTag(std::string_view piece, std::string_view* name, std::string_view* value) {
  const size_t at = piece.find('=');
  if (at == std::string_view::npos) return false;
  *name = TrimWsp(piece.substr(0, at));
  *value = TrimWsp(piece.substr(at + 1));
  return true;
}

bool IsVersion(std::string_view piece) {
  std::string_view name, value;
  return SplitTag(piece, &name, &value) && EqualsIgnoreCase(name, "v") && value == "DMARC1";
}

// Values are ABNF literals, which have no case (RFC 5234 §2.3).
std::optional<DmarcPolicy> PolicyOf(std::string_view value) {
  for (DmarcPolicy policy : {DmarcPolicy::kNone, DmarcPolicy::kQuarantine, DmarcPolicy::kReject})
    if (EqualsIgnoreCase(value, DmarcPolicyName(policy))) return policy;
  return std::nullopt;
}

std::optional<std::string> PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    const std::optional<std::string> octet = HexDecode(text.substr(i + 1, 2));
    if (!octet || octet->size() != 1) return std::nullopt;
    out += *octet;
    i += 2;
  }
  return out;
}

class Reader {
 public:
  Reader(std::string_view text, const DmarcRecordLimits& limits) : text_(text), limits_(limits) {}

  std::optional<DmarcRecord> Read() {
    std::string_view rest = text_.substr(0, limits_.max_bytes);
    if (rest.size() < text_.size())
      Problem("", "too_long", "the record is longer than a TXT record can be; its end is not read");
    std::string_view piece;
    if (!Next(&rest, ';', &piece) || !IsVersion(piece)) return std::nullopt;
    size_t tags = 0;
    while (Next(&rest, ';', &piece)) {
      piece = TrimWsp(piece);
      if (piece.empty()) {
        // A semicolon may end the record; one without a tag elsewhere says nothing.
        if (rest.data() != nullptr)
          Problem("", "empty_tag", "two semicolons without a tag between them");
        continue;
      }
      if (++tags > limits_.max_tags) {
        Problem("", "too_many_tags", "there are more tags than are read");
        break;
      }
      Tag(piece);
    }
    if (!record_.p.has_value()) {
      if (!seen_.count("p")) Problem("p", "missing", "there is no \"p\" tag");
      record_.policy_broken = true;
    }
    // RFC 9989 §4.7: "fo" is for "ruf".
    if (seen_.count("fo") && record_.ruf.empty())
      Problem("fo", "no_effect", "\"fo\" asks for nothing without \"ruf\"", true);
    return std::move(record_);
  }

 private:
  void Problem(std::string_view tag, std::string_view reason, std::string explanation,
               bool harmless = false) {
    if (record_.problems.size() < limits_.max_problems)
      record_.problems.push_back(
          {std::string(tag), std::string(reason), std::move(explanation), harmless});
  }
  void BadValue(std::string_view tag, std::string_view value, std::string_view wanted) {
    Problem(tag, "bad_value",
            StrCat("\"", tag, "\" is \"", mail::EscapeForPeople(value, 80), "\", not ", wanted));
  }

  void Tag(std::string_view piece) {
    std::string_view name, value;
    if (!SplitTag(piece, &name, &value)) {
      Problem("", "not_a_tag",
              StrCat("\"", mail::EscapeForPeople(piece, 80), "\" is no tag: it has no \"=\""));
      return;
    }
    // RFC 9989 §4.8: 1*ALPHA, and a value of printing characters.
    if (name.empty() || !std::all_of(name.begin(), name.end(), IsAsciiAlpha)) {
      Problem(
          "", "bad_tag_name",
          StrCat("\"", mail::EscapeForPeople(name, 80), "\" is no name of a tag: letters only"));
      return;
    }
    if (!seen_.emplace(name).second) {
      Problem(name, "repeated_tag",
              StrCat("\"", mail::EscapeForPeople(name, 80),
                     "\" stands more than once; the first counts"));
      return;
    }
    if (!std::all_of(value.begin(), value.end(), IsAsciiPrintable) || value.empty()) {
      Problem(
          name, "bad_value",
          StrCat("\"", mail::EscapeForPeople(name, 80), "\" has no value of printing characters"));
      if (name == "p" || name == "sp" || name == "np") record_.policy_broken = true;
      return;
    }
    Value(name, value);
  }

  void Value(std::string_view name, std::string_view value) {
    if (name == "p" || name == "sp" || name == "np") {
      std::optional<DmarcPolicy>& slot = name == "p"    ? record_.p
                                         : name == "sp" ? record_.sp
                                                        : record_.np;
      slot = PolicyOf(value);
      if (!slot) {
        BadValue(name, value, "none, quarantine or reject");
        record_.policy_broken = true;
      }
    } else if (name == "adkim" || name == "aspf") {
      DmarcAlignment& slot = name == "adkim" ? record_.adkim : record_.aspf;
      if (EqualsIgnoreCase(value, "s"))
        slot = DmarcAlignment::kStrict;
      else if (!EqualsIgnoreCase(value, "r"))
        BadValue(name, value, "r or s");
    } else if (name == "t") {
      record_.testing = EqualsIgnoreCase(value, "y");
      if (!record_.testing && !EqualsIgnoreCase(value, "n")) BadValue(name, value, "y or n");
    } else if (name == "psd") {
      if (EqualsIgnoreCase(value, "y"))
        record_.psd = DmarcPsd::kYes;
      else if (EqualsIgnoreCase(value, "n"))
        record_.psd = DmarcPsd::kNo;
      else if (!EqualsIgnoreCase(value, "u"))
        BadValue(name, value, "y, n or u");
    } else if (name == "fo") {
      FailureOptions(value);
    } else if (name == "rua" || name == "ruf") {
      Uris(name, value, name == "rua" ? &record_.rua : &record_.ruf);
    } else if (name == "pct") {
      const std::optional<uint64_t> number = ParseUint(value, 100);
      if (number) {
        record_.pct = static_cast<unsigned>(*number);
        if (*number != 100) Historic(name, "; t=y asks for a test");
      } else {
        BadValue(name, value, "a number up to 100");
      }
    } else if (name == "ri") {
      const std::optional<uint64_t> number = ParseUint(value, UINT32_MAX);
      if (number) {
        record_.ri = static_cast<uint32_t>(*number);
        Historic(name, "; reports come daily or as the receiver likes");
      } else {
        BadValue(name, value, "a number of seconds");
      }
    } else if (name == "rf") {
      ReportFormats(value);
    } else if (name == "v") {
      Problem(name, "repeated_tag", "\"v\" stands more than once; the first counts");
    } else {
      Problem(name, "unknown_tag",
              StrCat("\"", mail::EscapeForPeople(name, 80), "\" is not a tag that DMARC knows"));
    }
  }

  void Historic(std::string_view name, std::string_view instead) {
    Problem(name, "historic_tag",
            StrCat("\"", name, "\" is of RFC 7489 and has no effect any more (RFC 9989)", instead),
            true);
  }

  void FailureOptions(std::string_view value) {
    DmarcFailureOptions options;
    options.all = false;
    std::string_view piece;
    for (std::string_view rest = value; Next(&rest, ':', &piece);) {
      piece = TrimWsp(piece);
      if (piece == "0")
        options.all = true;
      else if (piece == "1")
        options.any = true;
      else if (EqualsIgnoreCase(piece, "d"))
        options.dkim = true;
      else if (EqualsIgnoreCase(piece, "s"))
        options.spf = true;
      else
        return BadValue("fo", value, "0, 1, d or s, with colons between them");
    }
    record_.fo = options;
  }

  void ReportFormats(std::string_view value) {
    std::string_view piece;
    std::vector<std::string> formats;
    for (std::string_view rest = value; Next(&rest, ':', &piece);) {
      piece = TrimWsp(piece);
      const bool word = !piece.empty() && piece.back() != '-' &&
                        std::all_of(piece.begin(), piece.end(),
                                    [](char c) { return IsAsciiAlnum(c) || c == '-'; });
      if (!word) return BadValue("rf", value, "words with colons between them");
      if (formats.size() < limits_.max_tags) formats.push_back(AsciiLower(piece));
    }
    record_.rf = std::move(formats);
    Historic("rf", "; there is one format");
  }

  void Uris(std::string_view name, std::string_view value, std::vector<DmarcUri>* out) {
    std::string_view piece;
    for (std::string_view rest = value; Next(&rest, ',', &piece);) {
      piece = TrimWsp(piece);
      if (out->size() >= limits_.max_uris)
        return Problem(name, "too_many_uris",
                       StrCat("\"", name, "\" has more addresses than are read"));
      std::optional<DmarcUri> uri = ParseDmarcUri(piece);
      if (!uri) {
        Problem(name, "bad_uri",
                StrCat("\"", mail::EscapeForPeople(piece, 80), "\" in \"", name,
                       "\" is not a URI such as mailto:reports@example.org"));
        continue;
      }
      if (uri->mailbox.empty())
        Problem(name, "unsupported_uri",
                StrCat("\"", mail::EscapeForPeople(piece, 80), "\" in \"", name,
                       "\" is no mailto:, the only kind that receivers must know"),
                true);
      if (uri->max_bytes != 0)
        Problem(name, "historic_size",
                StrCat("the size behind \"!\" in \"", name,
                       "\" is of RFC 7489 and has no effect any more"),
                true);
      out->push_back(std::move(*uri));
    }
  }

  std::string_view text_;
  const DmarcRecordLimits& limits_;
  DmarcRecord record_;
  std::set<std::string, std::less<>> seen_;
};

std::string FormatUris(const std::vector<DmarcUri>& uris) {
  std::string out;
  for (const DmarcUri& uri : uris) {
    StrAppend(out, out.empty() ? "" : ",", uri.uri);
    if (uri.max_bytes != 0) StrAppend(out, "!", uri.max_bytes);
  }
  return out;
}

}  // namespace

std::string_view DmarcPolicyName(DmarcPolicy policy) {
  switch (policy) {
    case DmarcPolicy::kNone: return "none";
    case DmarcPolicy::kQuarantine: return "quarantine";
    case DmarcPolicy::kReject: return "reject";
  }
  return "none";
}

std::string DmarcUri::Host() const {
  if (!mailbox.empty()) return AsciiLower(mailbox.substr(mailbox.rfind('@') + 1));
  const size_t slashes = uri.find("://");
  if (slashes == std::string::npos) return "";
  std::string_view authority = std::string_view(uri).substr(slashes + 3);
  authority = authority.substr(0, authority.find_first_of("/?#"));
  if (const size_t at = authority.rfind('@'); at != std::string_view::npos)
    authority.remove_prefix(at + 1);
  if (!authority.starts_with("[")) authority = authority.substr(0, authority.find(':'));
  return AsciiLower(authority);
}

std::optional<DmarcUri> ParseDmarcUri(std::string_view text) {
  DmarcUri out;
  // RFC 7489 §6.4: "!" and a number, with a letter for its unit, at the end.
  if (const size_t mark = text.rfind('!'); mark != std::string_view::npos) {
    std::string_view size = text.substr(mark + 1);
    text = text.substr(0, mark);
    int shift = 0;
    if (!size.empty() && IsAsciiAlpha(size.back())) {
      const size_t unit = std::string_view("kmgt").find(AsciiToLower(size.back()));
      if (unit == std::string_view::npos) return std::nullopt;
      shift = 10 * (static_cast<int>(unit) + 1);
      size.remove_suffix(1);
    }
    const std::optional<uint64_t> number = ParseUint(size, UINT64_MAX >> shift);
    if (!number) return std::nullopt;
    out.max_bytes = *number << shift;
  }
  // RFC 3986 §3: scheme ":" and something behind it, of the characters of §2; "!" and "," stand
  // only encoded here (RFC 9989 §4.8).
  const size_t colon = text.find(':');
  if (colon == 0 || colon == std::string_view::npos || colon + 1 == text.size())
    return std::nullopt;
  const std::string_view scheme = text.substr(0, colon);
  if (!IsAsciiAlpha(scheme[0])) return std::nullopt;
  for (char c : scheme)
    if (!IsAsciiAlnum(c) && c != '+' && c != '-' && c != '.') return std::nullopt;
  for (char c : text.substr(colon + 1))
    if (!IsAsciiAlnum(c) &&
        std::string_view("-._~:/?#[]@$&'()*+;=%").find(c) == std::string_view::npos)
      return std::nullopt;
  const std::optional<std::string> decoded =
      PercentDecode(text.substr(colon + 1, text.find('?') - colon - 1));
  if (!decoded) return std::nullopt;
  if (EqualsIgnoreCase(scheme, "mailto")) {
    const size_t at = decoded->rfind('@');
    if (at == 0 || at == std::string::npos || at + 1 == decoded->size()) return std::nullopt;
    for (char c : *decoded)
      if (IsAscii(c) && !IsAsciiPrintable(c)) return std::nullopt;
    out.mailbox = *decoded;
  }
  out.uri = std::string(text);
  return out;
}

DmarcPolicy DmarcRecord::PolicyFor(Whose whose, std::string_view* tag) const {
  std::string_view unused;
  std::string_view& where = tag != nullptr ? *tag : unused;
  where = "p";
  if (policy_broken) return DmarcPolicy::kNone;
  if (whose == Whose::kMissingSubdomain && np) {
    where = "np";
    return *np;
  }
  if (whose != Whose::kItself && sp) {
    where = "sp";
    return *sp;
  }
  return p.value_or(DmarcPolicy::kNone);
}

bool IsDmarcRecord(std::string_view text) { return IsVersion(text.substr(0, text.find(';'))); }

std::optional<DmarcRecord> ParseDmarcRecord(std::string_view text,
                                            const DmarcRecordLimits& limits) {
  return Reader(text, limits).Read();
}

std::string FormatDmarcRecord(const DmarcRecord& record) {
  std::string out = "v=DMARC1";
  const auto add = [&out](std::string_view name, std::string_view value) {
    StrAppend(out, "; ", name, "=", value);
  };
  if (record.p) add("p", DmarcPolicyName(*record.p));
  if (record.sp) add("sp", DmarcPolicyName(*record.sp));
  if (record.np) add("np", DmarcPolicyName(*record.np));
  if (record.adkim == DmarcAlignment::kStrict) add("adkim", "s");
  if (record.aspf == DmarcAlignment::kStrict) add("aspf", "s");
  if (record.psd != DmarcPsd::kUnknown) add("psd", record.psd == DmarcPsd::kYes ? "y" : "n");
  if (record.testing) add("t", "y");
  if (!record.rua.empty()) add("rua", FormatUris(record.rua));
  if (!record.ruf.empty()) add("ruf", FormatUris(record.ruf));
  if (!(record.fo == DmarcFailureOptions{})) {
    std::string options;
    const auto option = [&options](bool set, char letter) {
      if (!set) return;
      if (!options.empty()) options += ':';
      options += letter;
    };
    option(record.fo.all, '0');
    option(record.fo.any, '1');
    option(record.fo.dkim, 'd');
    option(record.fo.spf, 's');
    if (!options.empty()) add("fo", options);
  }
  if (record.pct) add("pct", StrCat(*record.pct));
  if (record.rf.size()) add("rf", StrJoin(record.rf, ":"));
  if (record.ri) add("ri", StrCat(*record.ri));
  return out;
}

}  // namespace postern::trust
