// The address suites: SMTP mailboxes, header lists, IDNA.
#include "lib/core/mail/address.h"

#include "tests/conformance/json.h"
#include "tests/conformance/suite.h"
#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/message/address_list.h"

namespace postern::conformance {
namespace {

std::string Outcome(const StatusOr<mail::Address>& address) {
  return address.ok() ? "accepted as " + address->ToString()
                      : "refused: " + std::string(Message(address.status()));
}

// isemail: VALID, DNSWARN and RFC5321 are what SMTP takes (README of the suite).
void IsEmail(const std::string& text_of_suite, Tally& tally) {
  const Json tests = Json::Parse(text_of_suite);
  for (const Json& test : tests.Array()) {
    const std::string& category = test["category"].String();
    const bool accept = category == "ISEMAIL_VALID_CATEGORY" || category == "ISEMAIL_DNSWARN" ||
                        category == "ISEMAIL_RFC5321";
    const StatusOr<mail::Address> address = mail::ParseAddress(test["address"].String());
    tally.Count(test["id"].String(), address.ok() == accept,
                StrCat(test["diagnosis"].String(), " \"", Escape(test["address"].String()), "\" ",
                       Outcome(address)));
  }
}

void EmailValidatorValid(const std::string& text_of_suite, Tally& tally) {
  const Json tests = Json::Parse(text_of_suite);
  int number = 0;
  for (const Json& test : tests.Array()) {
    const std::string id = StrCat("#", number++);
    const std::string& input = test["input"].String();
    const Json& expect = test["expect"];
    std::string text = input;
    std::string name;
    if (expect.Has("display_name")) {
      const std::vector<message::Mailbox> list = message::ParseAddressList(input);
      text = list.size() == 1 ? list[0].Address() : "";
      name = list.size() == 1 ? list[0].DisplayName() : "";
    }
    const StatusOr<mail::Address> address = mail::ParseAddress(text);
    bool good = address.ok() && name == expect["display_name"].String();
    if (good) {
      const StatusOr<std::string> ascii = address->DomainLiteral()
                                              ? StatusOr<std::string>(address->domain)
                                              : mail::DomainToAscii(address->domain);
      good =
          address->ToString() == expect["normalized"].String() &&
          address->IsInternational() == (expect["smtputf8"].Bool() || !IsAscii(address->domain)) &&
          ascii.ok() && EqualsIgnoreCase(*ascii, expect["ascii_domain"].String());
    }
    tally.Count(id, good,
                input + " " + Outcome(address) + ", expected " + expect["normalized"].String());
  }
}

// Functions whose name has "invalid" or "unsafe" want a refusal; the others are about names that
// must stay quoted.
void EmailValidatorOther(const std::string& text_of_suite, Tally& tally) {
  int number = 0;
  const Json tests = Json::Parse(text_of_suite);
  for (const Json& test : tests.Array()) {
    const std::string& kind = test["test"].String();
    const std::string id = StrCat(kind, "#", number++);
    const StatusOr<mail::Address> address = mail::ParseAddress(test["input"].String());
    const std::string detail =
        StrCat("\"", Escape(test["input"].String()), "\" ", Outcome(address));
    if (kind == "test_email_valid_only_if_quoted_local_part") {
      tally.Count(id, address.ok(), detail);
    } else if (kind == "test_email_invalid_syntax") {
      tally.Count(id, !address.ok(),
                  StrCat(detail, ", expected: ",
                         test["args"].Array().empty() ? "" : test["args"].Array()[0].String()));
    }
    // The rest is about reserved names, DNS and what upstream calls unsafe, none of it syntax of
    // RFC 5321; the isemail cases stand in isemail's own file.
  }
}

// Flanker reads header mailboxes, so what stands in brackets or beside a comment is looked for in
// our header list too.
void Mailboxes(const std::string& text_of_suite, Tally& tally, bool local_part, bool valid) {
  const Json tests = Json::Parse(text_of_suite);
  int number = 0;
  for (const Json& test : tests.Array()) {
    const std::string& text = test.String();
    const std::string id = StrCat("#", number++);
    if (text.empty() || text.front() == ' ' || text.front() == '#')
      continue;  // comments of the upstream file
    const StatusOr<mail::Address> address =
        mail::ParseAddress(local_part ? text + "@example.com" : text);
    bool accepted = address.ok();
    if (valid && !accepted) {
      const std::vector<message::Mailbox> list = message::ParseAddressList(text);
      accepted = list.size() == 1 && !list[0].domain.empty();
    }
    tally.Count(id, accepted == valid, text + " " + Outcome(address));
  }
}

void FlankerValid(const std::string& text_of_suite, Tally& tally) {
  Mailboxes(text_of_suite, tally, false, true);
}
void FlankerInvalid(const std::string& text_of_suite, Tally& tally) {
  Mailboxes(text_of_suite, tally, false, false);
}
void FlankerLocalValid(const std::string& text_of_suite, Tally& tally) {
  Mailboxes(text_of_suite, tally, true, true);
}
void FlankerLocalInvalid(const std::string& text_of_suite, Tally& tally) {
  Mailboxes(text_of_suite, tally, true, false);
}

void Mox(const std::string& text_of_suite, Tally& tally, bool local_part) {
  const Json tests = Json::Parse(text_of_suite);
  int number = 0;
  for (const Json& test : tests.Array()) {
    const std::string& text = test["input"].String();
    const StatusOr<mail::Address> address =
        mail::ParseAddress(local_part ? text + "@example.com" : text);
    tally.Count(StrCat("#", number++), address.ok() == test["valid"].Bool(),
                Escape(text) + " " + Outcome(address));
  }
}
void MoxAddress(const std::string& text_of_suite, Tally& tally) {
  Mox(text_of_suite, tally, false);
}
void MoxLocal(const std::string& text_of_suite, Tally& tally) { Mox(text_of_suite, tally, true); }

// Unescape resolves \uXXXX and \x{X…} of IdnaTestV2.txt; false for an unpaired surrogate, which
// UTF-8 cannot hold.
bool Unescape(std::string_view text, std::string& out) {
  out.clear();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out.push_back(text[i]);
      continue;
    }
    const bool braces = text.substr(i, 3) == "\\x{";
    const size_t start = braces ? i + 3 : i + 2;
    const size_t end = braces ? text.find('}', start) : start + 4;
    uint32_t value = static_cast<uint32_t>(
        std::stoul(std::string(text.substr(start, end - start)), nullptr, 16));
    if (value >= 0xD800 && value < 0xE000) return false;
    mail::AppendUtf8(value, out);
    i = braces ? end : end - 1;
  }
  return true;
}

// toASCII, non-transitional, with every check on. Mail wants a name besides: what comes out must be
// letters, digits and hyphens. Lines whose source is ASCII are left out: such a name is one of the
// DNS already, and DomainToAscii takes it by RFC 5321 §2.3.5 without asking whether its xn-- labels
// mean anything.
void Idna(const std::string& text_of_suite, Tally& tally) {
  const std::string file = text_of_suite;
  int number = 0;
  for (std::string_view line : Split(file, '\n')) {
    ++number;
    line = Trim(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    const std::vector<std::string_view> columns = Split(line, ';');
    if (columns.size() < 7) continue;
    const auto column = [&](size_t i) { return Trim(columns[i]); };
    std::string source, unicode, ascii;
    if (!Unescape(column(0) == "\"\"" ? "" : column(0), source) || IsAscii(source)) continue;
    if (!Unescape(column(1).empty() ? column(0) : column(1), unicode)) continue;
    if (!Unescape(column(3).empty() ? (column(1).empty() ? column(0) : column(1)) : column(3),
                  ascii))
      continue;
    const std::string_view status = column(4).empty() ? column(2) : column(4);
    const bool error = !status.empty() && status != "[]";
    const StatusOr<std::string> result = mail::DomainToAscii(source);
    tally.Count(StrCat("line-", number), error ? !result.ok() : result.ok() && *result == ascii,
                StrCat("\"", source, "\" ", status, " expected ", error ? "an error" : ascii,
                       ", got ", result.ok() ? *result : std::string(Message(result.status()))));
  }
}

void Punycode(const std::string& text_of_suite, Tally& tally) {
  const Json tests = Json::Parse(text_of_suite);
  int number = 0;
  for (const Json& test : tests.Array()) {
    const std::string id = StrCat("#", number++);
    const std::string& decoded = test["decoded"].String();
    // Only what is a label of a name can be asked through IDNA.
    if (decoded.empty() || IsAscii(decoded)) continue;
    const StatusOr<std::string> ascii = mail::DomainToAscii(decoded);
    tally.Count(id, ascii.ok() && *ascii == "xn--" + test["encoded"].String(),
                StrCat(decoded, " ", ascii.ok() ? *ascii : std::string(Message(ascii.status()))));
  }
}

// Header lists, as Jakarta Mail's lenient parser gives them: each address with its name as written.
void Jakarta(const std::string& text_of_suite, Tally& tally) {
  int number = 0;
  const Json tests = Json::Parse(text_of_suite);
  for (const Json& test : tests.Array()) {
    const std::string id = StrCat("#", number++);
    const std::vector<message::Mailbox> list = message::ParseAddressList(test["value"].String());
    if (test.Has("expect_error")) {
      // We do not refuse: a header is shown as well as it can be. It has to end, which it did.
      tally.Count(id, true, "");
      continue;
    }
    std::vector<std::string> got;
    for (const message::Mailbox& mailbox : list) {
      if (mailbox.kind == message::Mailbox::Kind::kAddress) got.push_back(mailbox.Address());
    }
    // Their answer keeps names, comments and groups as text; the addresses in it are compared.
    std::vector<std::string> expected;
    for (const Json& one : test["expect"].Array()) {
      for (const message::Mailbox& mailbox : message::ParseAddressList(one.String())) {
        if (mailbox.kind == message::Mailbox::Kind::kAddress) expected.push_back(mailbox.Address());
      }
    }
    tally.Count(
        id, got == expected,
        StrCat(Escape(test["value"].String()), "\n    got      ", Escape(StrJoin(got, " | ")),
               "\n    expected ", Escape(StrJoin(expected, " | "))));
  }
}

// Tokens of a header: with the comments taken out by upstream, the same addresses come.
void JakartaTokens(const std::string& text_of_suite, Tally& tally) {
  int number = 0;
  const Json tests = Json::Parse(text_of_suite);
  for (const Json& test : tests.Array()) {
    const auto addresses = [](const std::string& value) {
      std::string out;
      for (const message::Mailbox& mailbox : message::ParseAddressList(value))
        StrAppend(out, mailbox.Address(), " | ");
      return out;
    };
    std::string tokens;
    for (const Json& each : test["expect"].Array()) {
      const std::string& token = each.String();
      const size_t tab = token.find('\t');
      const std::string text = token.substr(tab + 1);
      const bool atom = token.compare(0, 4, "ATOM") == 0;
      if (token.compare(0, 12, "QUOTEDSTRING") == 0) {
        std::string quoted;
        for (const char c : text)
          quoted += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
        StrAppend(tokens, " \"", quoted, "\"");
      } else {
        StrAppend(tokens, atom && !tokens.empty() && IsAsciiAlnum(tokens.back()) ? " " : "", text);
      }
    }
    const std::string got = addresses(test["value"].String());
    const std::string wanted = addresses(tokens);
    tally.Count(
        StrCat("#", number++), test.Has("expect_error") || got == wanted,
        StrCat(Escape(test["value"].String()), "\n    got      ", got, "\n    expected ", wanted));
  }
}

// Postfix: quoting of local parts that hold an "@".
void PostfixQuoting(const std::string& text_of_suite, Tally& tally) {
  int number = 0;
  for (const std::string_view line : Split(text_of_suite, '\n')) {
    std::vector<std::string> quoted;
    size_t at = 0;
    while ((at = line.find('\'', at)) != std::string_view::npos) {
      const size_t end = line.find('\'', at + 1);
      if (end == std::string_view::npos) break;
      quoted.emplace_back(line.substr(at + 1, end - at - 1));
      at = end + 1;
    }
    const std::string id = StrCat("#", number++);
    // With bare_localpart the "@" belongs to no domain, which is a form inside Postfix.
    // An empty local part is none (RFC 5321 §4.1.2 allows "" and nothing is called that).
    if (quoted.size() != 2 || quoted[0].empty() || line.find("flags=") != std::string_view::npos)
      continue;
    std::string got;
    if (line.find(" unquoted ") != std::string_view::npos) {
      mail::AddressOptions options;
      options.allow_no_domain = true;
      const StatusOr<mail::Address> address = mail::ParseAddress(quoted[0], options);
      if (address.ok())
        got = StrCat(address->local_part, address->domain.empty() ? "" : "@", address->domain);
    } else {
      const size_t split = quoted[0].rfind('@');
      got = mail::Address{quoted[0].substr(0, split), quoted[0].substr(split + 1)}.ToString();
    }
    tally.Count(id, got == quoted[1], StrCat(line, ", got ", got));
  }
}

void RunFile(const char* file, void (*run)(const std::string&, Tally&)) {
  const std::optional<std::string> folder = Folder("address");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  std::ifstream in(*folder + "/" + file, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(in), {});
  ASSERT_FALSE(text.empty()) << file;
  Tally tally(StrCat("address/", file));
  run(text, tally);
  tally.Finish();
}

TEST(Address, IsEmail) { RunFile("isemail-tests.json", IsEmail); }
TEST(Address, EmailValidatorValid) {
  RunFile("python-email-validator-valid.json", EmailValidatorValid);
}
TEST(Address, EmailValidatorOther) {
  RunFile("python-email-validator-other.json", EmailValidatorOther);
}
TEST(Address, FlankerValid) { RunFile("flanker-mailbox_valid.json", FlankerValid); }
TEST(Address, FlankerInvalid) { RunFile("flanker-mailbox_invalid.json", FlankerInvalid); }
TEST(Address, FlankerLocalValid) {
  RunFile("flanker-abridged_localpart_valid.json", FlankerLocalValid);
}
TEST(Address, FlankerLocalInvalid) {
  RunFile("flanker-abridged_localpart_invalid.json", FlankerLocalInvalid);
}
TEST(Address, Mox) { RunFile("mox-address.json", MoxAddress); }
TEST(Address, MoxLocal) { RunFile("mox-localpart.json", MoxLocal); }
TEST(Address, Idna) { RunFile("IdnaTestV2.txt", Idna); }
TEST(Address, Punycode) { RunFile("punycode_tests.json", Punycode); }
TEST(Address, JakartaTokens) { RunFile("jakarta-tokenlist.json", JakartaTokens); }
TEST(Address, PostfixQuoting) { RunFile("postfix/quote_822_local.ref", PostfixQuoting); }
TEST(Address, Jakarta) { RunFile("jakarta-addrlist.json", Jakarta); }

}  // namespace
}  // namespace postern::conformance
