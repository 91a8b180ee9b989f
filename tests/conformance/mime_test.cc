// The MIME suites: parse trees and header values of mail-parser, FETCH answers of Stalwart, and
// mail that must only be survived.
#include "tests/conformance/json.h"
#include "tests/conformance/suite.h"
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/mail/date.h"
#include "lib/core/message/address_list.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/encoded_word.h"
#include "lib/core/message/imap_section.h"
#include "lib/core/message/imap_structure.h"
#include "lib/core/message/parser.h"
#include "lib/core/message/text.h"

namespace postern::conformance {
namespace {

using message::MessageView;
using message::Part;
using message::PartKind;

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

std::vector<std::filesystem::path> FilesBelow(const std::filesystem::path& folder,
                                              std::string_view extension) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && EndsWithIgnoreCase(entry.path().string(), extension))
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string WithCrlf(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r')) out += '\r';
    out += text[i];
  }
  return out;
}

std::string WithLf(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r' || i + 1 >= text.size() || text[i + 1] != '\n') out += text[i];
  }
  return out;
}

// ---- mail-parser: trees

// Node is one part as both sides can tell it: where it stands, and what it is.
struct Node {
  size_t header = 0, body = 0, end = 0;
  std::string kind;  // "multipart 3", "message", "leaf"
  std::string text;  // of a text part, decoded, CRs taken out
  bool has_text = false;
};

std::string Outline(const std::vector<Node>& nodes) {
  std::string out;
  for (const Node& node : nodes)
    StrAppend(out, node.kind, "@", node.header, ",", node.body, ",", node.end, " ");
  return out;
}

std::string WithoutCr(std::string_view text) {
  std::string out(text);
  out.erase(std::remove(out.begin(), out.end(), '\r'), out.end());
  return out;
}

void Expected(const Json& message, std::vector<Node>& nodes) {
  for (const Json& part : message["parts"].Array()) {
    Node node;
    node.header = static_cast<size_t>(part["offset_header"].Int());
    node.body = static_cast<size_t>(part["offset_body"].Int());
    node.end = static_cast<size_t>(part["offset_end"].Int());
    const Json& body = part["body"];
    if (body.Has("Multipart")) {
      node.kind = StrCat("multipart ", body["Multipart"].Array().size());
    } else if (body.Has("Message")) {
      node.kind = "message";
    } else {
      node.kind = "leaf";
      node.has_text = body.Has("Text") || body.Has("Html");
      node.text = WithoutCr(body.Has("Text") ? body["Text"].String() : body["Html"].String());
    }
    nodes.push_back(node);
    if (body.Has("Message")) Expected(body["Message"], nodes);
  }
}

std::vector<Node> Ours(const MessageView& view) {
  std::vector<Node> nodes;
  for (const Part& part : view.parts()) {
    Node node;
    node.header = part.header_offset;
    node.body = part.body_offset;
    node.end = part.end_offset;
    switch (part.kind) {
      case PartKind::kMultipart: node.kind = StrCat("multipart ", part.child_count); break;
      case PartKind::kMessage: node.kind = "message"; break;
      case PartKind::kLeaf:
        node.kind = "leaf";
        node.text = WithoutCr(message::DecodeBodyText(view, part));
        break;
    }
    nodes.push_back(node);
  }
  return nodes;
}

TEST(Mime, MailParserTrees) {
  const std::optional<std::string> folder = Folder("mime/mail-parser");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  Tally trees("mime/mail-parser/trees");
  Tally texts("mime/mail-parser/texts");
  for (const std::filesystem::path& path : FilesBelow(*folder, ".eml")) {
    for (const bool crlf : {false, true}) {
      std::filesystem::path json_path = path;
      json_path.replace_extension(crlf ? ".crlf.json" : ".json");
      const Json json = Json::Parse(ReadFile(json_path));
      if (json.IsNull()) continue;
      // The trees of both forms are given; a file has the line ends of either.
      const std::string file = ReadFile(path);
      const std::string raw = crlf ? WithCrlf(file) : WithLf(file);
      const MessageView view = message::ParseMessage(raw);
      std::vector<Node> expected;
      Expected(json, expected);
      const std::vector<Node> ours = Ours(view);
      const std::string id = StrCat(path.parent_path().filename().string(), "/",
                                    path.stem().string(), crlf ? ".crlf" : "");
      const bool same = Outline(ours) == Outline(expected);
      trees.Count(id, same,
                  StrCat("\n    got      ", Outline(ours), "\n    expected ", Outline(expected)));
      if (!same) continue;
      std::string difference;
      for (size_t i = 0; i < ours.size() && difference.empty(); ++i) {
        if (expected[i].has_text && ours[i].text != expected[i].text) {
          size_t at = 0;
          while (at < ours[i].text.size() && at < expected[i].text.size() &&
                 ours[i].text[at] == expected[i].text[at])
            ++at;
          at -= std::min<size_t>(at, 20);
          difference = StrCat("part ", i, " at ", at, "\n    got      ",
                              Escape(ours[i].text.substr(at), 100), "\n    expected ",
                              Escape(expected[i].text.substr(at), 100));
        }
      }
      texts.Count(id, difference.empty(), difference);
    }
  }
  trees.Finish();
  texts.Finish();
}

// ---- mail-parser: header values

std::string Value(const Json& text) { return text.IsNull() ? std::string() : text.String(); }

TEST(Mime, MailParserHeaders) {
  const std::optional<std::string> folder = Folder("mime/mail-parser/headers");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  // A value ends at its line end, folding included: what follows in a few cases is for their
  // tokenizer.
  const auto value_of = [](const Json& test) {
    const std::string& text = test["header"].String();
    size_t end = text.find('\n');
    while (end != std::string::npos && end + 1 < text.size() &&
           (text[end + 1] == ' ' || text[end + 1] == '\t')) {
      end = text.find('\n', end + 1);
    }
    return text.substr(0, end);
  };
  int number = 0;
  Tally dates("mime/mail-parser/headers/date.json");
  const Json date_tests = Json::Parse(ReadFile(*folder + "/date.json"));
  for (const Json& test : date_tests.Array()) {
    std::string header = value_of(test);
    // Received fields have their date behind the last ";".
    if (header.compare(0, 3, "by ") == 0) header = header.substr(header.rfind(';') + 1);
    const StatusOr<mail::MailDate> date = mail::ParseDate(header);
    const Json& expect = test["expected"];
    std::string wanted = "none";
    if (!expect.IsNull()) {
      const int64_t minutes = (expect["tz_hour"].Int() * 60 + expect["tz_minute"].Int()) *
                              (expect["tz_before_gmt"].Bool() ? -1 : 1);
      const absl::CivilSecond local(
          expect["year"].Int(), static_cast<int>(expect["month"].Int()),
          static_cast<int>(expect["day"].Int()), static_cast<int>(expect["hour"].Int()),
          static_cast<int>(expect["minute"].Int()), static_cast<int>(expect["second"].Int()));
      wanted =
          mail::FormatDate(absl::FromCivil(local, absl::UTCTimeZone()) - absl::Minutes(minutes),
                           static_cast<int>(minutes));
    }
    const std::string got = date.ok() ? mail::FormatDate(date->time, date->offset_minutes) : "none";
    dates.Count(StrCat("#", number++), got == wanted,
                StrCat(Escape(header), " got ", got, " expected ", wanted));
  }
  dates.Finish();

  number = 0;
  Tally types("mime/mail-parser/headers/content_type.json");
  const Json type_tests = Json::Parse(ReadFile(*folder + "/content_type.json"));
  for (const Json& test : type_tests.Array()) {
    const message::ContentType type = message::ParseContentType(value_of(test));
    const Json& expect = test["expected"];
    std::vector<std::string> wanted, got;
    for (const Json& attribute : expect["attributes"].Array()) {
      wanted.push_back(StrCat(attribute.Array()[0].String(), "=", attribute.Array()[1].String()));
    }
    for (const message::Parameter& parameter : type.parameters.list) {
      if (!parameter.language.empty())
        got.push_back(StrCat(parameter.name, "-language=", parameter.language));
      got.push_back(StrCat(parameter.name, "=", parameter.value));
    }
    std::sort(wanted.begin(), wanted.end());
    std::sort(got.begin(), got.end());
    const std::string left = StrCat(type.type, "/", type.subtype, " ", StrJoin(got, " | "));
    const std::string right = StrCat(Value(expect["c_type"]), "/", Value(expect["c_subtype"]), " ",
                                     StrJoin(wanted, " | "));
    types.Count(
        StrCat("#", number++), left == right,
        StrCat(Escape(test["header"].String()), "\n    got      ", left, "\n    expected ", right));
  }
  types.Finish();

  number = 0;
  Tally texts("mime/mail-parser/headers/unstructured.json");
  const Json text_tests = Json::Parse(ReadFile(*folder + "/unstructured.json"));
  for (const Json& test : text_tests.Array()) {
    const std::string got = message::DecodeText(value_of(test));
    texts.Count(StrCat("#", number++), got == Value(test["expected"]),
                StrCat(Escape(test["header"].String()), "\n    got      ", got, "\n    expected ",
                       Value(test["expected"])));
  }
  texts.Finish();

  number = 0;
  Tally addresses("mime/mail-parser/headers/address.json");
  const Json address_tests = Json::Parse(ReadFile(*folder + "/address.json"));
  for (const Json& test : address_tests.Array()) {
    // Addresses are compared; names are compared where theirs has no comment in it (they put
    // comments into names).
    std::vector<std::string> wanted, got;
    const auto add = [&](const Json& list) {
      for (const Json& one : list.Array()) {
        if (!one["address"].IsNull()) wanted.push_back(one["address"].String());
      }
    };
    add(test["expected"]["List"]);
    for (const Json& group : test["expected"]["Group"].Array()) add(group["addresses"]);
    for (const message::Mailbox& mailbox : message::ParseAddressList(value_of(test))) {
      if (mailbox.kind == message::Mailbox::Kind::kAddress &&
          !(mailbox.local_part.empty() && mailbox.domain.empty())) {
        got.push_back(mailbox.domain.empty() ? mailbox.local_part
                                             : mailbox.local_part + "@" + mailbox.domain);
      }
    }
    addresses.Count(StrCat("#", number++), got == wanted,
                    StrCat(Escape(test["header"].String()), "\n    got      ", StrJoin(got, " | "),
                           "\n    expected ", StrJoin(wanted, " | ")));
  }
  addresses.Finish();
}

// ---- FETCH answers

// Normal brings a BODY or BODYSTRUCTURE text to one form. What is taken out is what the two may
// differ in: white space, the case of atoms, NIL for an encoding that is the default (RFC 2045
// §6.1), and the body MD5s, which Stalwart computes though RFC 3501 wants only those that a
// Content-MD5 field gives.
std::string Normal(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
      if (!out.empty() && out.back() != ' ' && out.back() != '(') out += ' ';
      continue;
    }
    if (c == ')' && !out.empty() && out.back() == ' ') out.pop_back();
    if (c == '(' && out.size() > 1 && out.back() == ' ' && out[out.size() - 2] == ')')
      out.pop_back();
    if (c == '"') {
      const size_t close = text.find('"', i + 1);
      const std::string_view word = text.substr(i, close - i + 1);
      const bool md5 = word.size() == 34 && HexDecode(word.substr(1, 32)).has_value();
      out += md5 ? std::string("NIL") : AsciiLower(word);
      i = close;
      continue;
    }
    out += c;
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  // NIL before the size is an encoding that is not given.
  for (size_t at = out.find(" NIL "); at != std::string::npos; at = out.find(" NIL ", at + 1)) {
    if (IsAsciiDigit(out[at + 5])) out.replace(at, 5, " \"7bit\" ");
  }
  // In a digest the default is message/rfc822 (RFC 2046 §5.1.5), which Stalwart tells by half.
  for (size_t at; (at = out.find("(\"message\" NIL")) != std::string::npos;)
    out.replace(at, 14, "(\"message\" \"rfc822\"");
  return out;
}

// BeyondRfc3501 tells whether a section is one that Stalwart answers and RFC 3501 §6.4.5 does not
// define: MIME without a number (which ParseSection refuses), HEADER and TEXT of a part that is no
// message, and part 1 of a part that has no parts.
bool BeyondRfc3501(const MessageView& view, message::SectionSpec spec) {
  using Text = message::SectionSpec::Text;
  if (spec.part.empty()) return false;
  const StatusOr<uint32_t> index = message::FindPart(view, spec.part);
  if (index.ok()) {
    const bool of_message = spec.text != Text::kNone && spec.text != Text::kMime;
    return of_message && view.part(*index).kind != PartKind::kMessage;
  }
  if (spec.part.back() != 1) return false;
  spec.part.pop_back();
  const StatusOr<uint32_t> above = message::FindPart(view, spec.part);
  return !above.ok() || view.part(*above).kind == PartKind::kLeaf;
}

TEST(Mime, StalwartFetch) {
  const std::optional<std::string> folder = Folder("imap/stalwart-fetch");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  Tally tally("imap/stalwart-fetch");
  for (const std::filesystem::path& path : FilesBelow(*folder, ".txt")) {
    const std::string raw = ReadFile(path);
    std::filesystem::path answers_path = path;
    answers_path.replace_extension(".imap");
    const std::string answers = ReadFile(answers_path);
    const MessageView view = message::ParseMessage(raw);
    const std::string name = path.stem().string();
    const size_t sections = answers.find("\nBODY[");
    for (const auto& [mark, extended] :
         {std::pair<std::string_view, bool>{"BODY (", false}, {"BODYSTRUCTURE (", true}}) {
      const size_t start = answers.find(mark) + mark.size() - 1;
      const size_t end = std::min(answers.find("\n)\n", start) + 2, sections);
      const std::string expected = Normal(answers.substr(start, end - start));
      const std::string got = Normal(message::BodyStructureText(view, extended));
      tally.Count(StrCat(name, extended ? "/BODYSTRUCTURE" : "/BODY"), got == expected,
                  StrCat("\n    got      ", got, "\n    expected ", expected));
    }
    size_t at = sections + 1;
    while (at < answers.size()) {
      const size_t line_end = answers.find('\n', at);
      if (line_end == std::string::npos) break;
      const std::string_view line = Trim(std::string_view(answers).substr(at, line_end - at));
      at = line_end + 1;
      const size_t brace = line.rfind('{');
      const size_t close = line.find(']');
      if (line.compare(0, 5, "BODY[") != 0 || brace == std::string_view::npos ||
          close == std::string_view::npos)
        continue;
      const size_t bytes = static_cast<size_t>(
          ParseUint(line.substr(brace + 1, line.size() - brace - 2)).value_or(0));
      const std::string expected = answers.substr(at, bytes);
      at += bytes;
      std::string section(line.substr(5, close - 5));
      size_t offset = 0;
      if (line[close + 1] == '<')
        offset = static_cast<size_t>(
            ParseUint(line.substr(close + 2, line.find('>') - close - 2)).value_or(0));
      std::string got = "NIL";
      const StatusOr<message::SectionSpec> spec = message::ParseSection(section);
      if (!spec.ok() || BeyondRfc3501(view, *spec)) continue;
      const StatusOr<message::SectionRange> range = message::FindSection(view, *spec);
      if (range.ok()) {
        got.clear();
        range->Append(got, offset, offset > 0 ? bytes : SIZE_MAX);
      }
      // Stalwart writes the names of known fields its own way and ends a header that it put
      // together with CRLF.
      const std::string wanted = AsciiLower(WithLf(expected));
      got = AsciiLower(WithLf(got));
      if (offset > 0 && wanted.size() < got.size()) got.resize(wanted.size());
      std::replace(section.begin(), section.end(), ' ', '_');
      tally.Count(StrCat(name, "/", section, offset > 0 ? "<10>" : ""), got == wanted,
                  StrCat("\n    got      ", Escape(got), "\n    expected ", Escape(wanted)));
    }
  }
  tally.Finish();
}

// ---- mail that must be survived

TEST(Mime, EveryMessageIsSurvived) {
  const std::optional<std::string> folder = Folder("mime");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  for (const char* const suite :
       {"flanker", "kmime", "mime4j", "mimekit", "mox", "nodemailer-mailparser",
        "php-mime-mail-parser", "postfix", "rspamd", "ruby-mail", "spamassassin", "stalwart-jmap",
        "mail-parser"}) {
    Tally tally(StrCat("mime/", suite, "/survived"));
    for (const std::filesystem::path& path : FilesBelow(*folder + "/" + suite, "")) {
      const std::string raw = ReadFile(path);
      const MessageView view = message::ParseMessage(raw);
      message::EnvelopeText(view);
      message::BodyStructureText(view, true);
      message::DecodedText(view);
      // The tree covers the message, and every part lies inside the one above.
      bool good = view.root().header_offset == 0 && view.root().end_offset == raw.size();
      for (const Part& part : view.parts()) {
        good =
            good && part.header_offset <= part.body_offset && part.body_offset <= part.end_offset;
        if (part.parent == message::kNoPart) continue;
        const Part& above = view.part(part.parent);
        good =
            good && above.body_offset <= part.header_offset && part.end_offset <= above.end_offset;
      }
      tally.Count(path.filename().string(), good, "the tree does not hold together");
    }
    tally.Finish();
  }
}

}  // namespace
}  // namespace postern::conformance
