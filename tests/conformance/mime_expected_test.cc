// The MIME suites that say what should come out: mime4j's trees and decoded bodies, JMAP objects,
// the parts of an mbox, Postfix's transcripts, RFC 2231 parameters, folding, codecs and charsets.
#include "tests/conformance/json.h"
#include "tests/conformance/suite.h"
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/mail/date.h"
#include "lib/core/mail/quoted_printable.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/message/address_list.h"
#include "lib/core/message/builder.h"
#include "lib/core/message/charset.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/encoded_word.h"
#include "lib/core/message/html_text.h"
#include "lib/core/message/parser.h"
#include "lib/core/message/text.h"

namespace postern::conformance {
namespace {

namespace fs = std::filesystem;
using message::Field;
using message::Header;
using message::MessageView;
using message::Part;
using message::PartKind;

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

std::vector<fs::path> FilesBelow(const fs::path& folder, std::string_view extension) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && EndsWithIgnoreCase(entry.path().string(), extension))
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string WithoutCr(std::string_view text) {
  std::string out(text);
  out.erase(std::remove(out.begin(), out.end(), '\r'), out.end());
  return out;
}

// FirstDifference shows where two texts part.
std::string FirstDifference(const std::string& got, const std::string& wanted) {
  size_t at = 0;
  while (at < got.size() && at < wanted.size() && got[at] == wanted[at]) ++at;
  const size_t from = at - std::min<size_t>(at, 20);
  return StrCat("at ", at, "\n    got      ", Escape(got.substr(from), 80), "\n    expected ",
                Escape(wanted.substr(from), 80));
}

// ---- mime4j

// The outline of a tree: what stands in what, and how many fields each header has.
struct Outline {
  std::string tree;
  std::vector<std::string> bodies;  // decoded, of the leaves in their order
};

size_t Count(std::string_view text, std::string_view word) {
  size_t count = 0;
  for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1))
    ++count;
  return count;
}

Outline OfXml(const std::string& xml, const fs::path& folder) {
  Outline outline;
  size_t at = 0;
  // A tag stands at the start of a line; texts in between are escaped.
  while ((at = xml.find('<', at)) != std::string::npos) {
    const size_t end = xml.find('>', at);
    if (end == std::string::npos) break;
    const std::string_view tag = std::string_view(xml).substr(at + 1, end - at - 1);
    at = end + 1;
    if (tag == "header") {
      const size_t close = xml.find("</header>", at);
      StrAppend(outline.tree, Count(std::string_view(xml).substr(at, close - at), "<field>"), " ");
      at = close;
    } else if (tag == "multipart" || tag == "message") {
      outline.tree += tag == "multipart" ? "( " : "[ ";
    } else if (tag == "/multipart") {
      outline.tree += ") ";
    } else if (tag == "/message") {
      outline.tree += "] ";
    } else if (StartsWithIgnoreCase(tag, "text-body") || StartsWithIgnoreCase(tag, "binary-body")) {
      outline.tree += "x ";
      const size_t quote = tag.find('"');
      const size_t close = tag.find('"', quote + 1);
      outline.bodies.push_back(
          ReadFile(folder / std::string(tag.substr(quote + 1, close - quote - 1))));
    }
  }
  return outline;
}

void OursBelow(const MessageView& view, const Part& part, bool as_message, Outline* outline) {
  if (as_message) outline->tree += "[ ";
  // An mbox "From " line is among our headers, without a name.
  size_t fields = 0;
  for (const Header& header : view.headers(part)) fields += header.name.empty() ? 0 : 1;
  StrAppend(outline->tree, fields, " ");
  if (part.kind == PartKind::kLeaf) {
    outline->tree += "x ";
    std::string body;
    message::DecodeBody(view, part, body);
    outline->bodies.push_back(std::move(body));
  } else {
    const bool multipart = part.kind == PartKind::kMultipart;
    if (multipart) outline->tree += "( ";
    for (uint32_t child = part.first_child; child != message::kNoPart;
         child = view.part(child).next_sibling)
      OursBelow(view, view.part(child), !multipart, outline);
    if (multipart) outline->tree += ") ";
  }
  if (as_message) outline->tree += "] ";
}

TEST(MimeExpected, Mime4j) {
  const std::optional<std::string> folder = Folder("mime/mime4j");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  Tally trees("mime/mime4j/trees"), bodies("mime/mime4j/bodies");
  for (const fs::path& path : FilesBelow(*folder, ".msg")) {
    const std::string raw = ReadFile(path);
    const MessageView view = message::ParseMessage(raw);
    fs::path xml_path = path;
    xml_path.replace_extension();
    xml_path += "_decoded.xml";
    const Outline wanted = OfXml(ReadFile(xml_path), path.parent_path());
    Outline got;
    OursBelow(view, view.root(), true, &got);
    const std::string id = path.stem().string();
    trees.Count(id, got.tree == wanted.tree,
                StrCat("\n    got      ", got.tree, "\n    expected ", wanted.tree));
    if (got.tree != wanted.tree) continue;
    std::string difference;
    for (size_t i = 0; i < got.bodies.size() && difference.empty(); ++i) {
      const std::string ours = WithoutCr(got.bodies[i]);
      const std::string theirs = WithoutCr(wanted.bodies[i]);
      if (ours != theirs) difference = StrCat("leaf ", i, " ", FirstDifference(ours, theirs));
    }
    bodies.Count(id, difference.empty(), difference);
  }
  trees.Finish();
  bodies.Finish();
}

// ---- JMAP Email objects (RFC 8621 §4.1)

std::string Addresses(const Json& list) {
  std::string out;
  for (const Json& each : list.Array())
    StrAppend(out, each["email"].IsNull() ? "" : each["email"].String(), " ");
  return out;
}

std::string Addresses(const MessageView& view, Field field) {
  std::string out;
  const Header* header = view.FindLast(view.root(), field);
  if (header == nullptr) return out;
  for (const message::Mailbox& mailbox : message::ParseAddressList(header->value)) {
    if (mailbox.kind == message::Mailbox::Kind::kAddress) StrAppend(out, mailbox.Address(), " ");
  }
  return out;
}

std::string Types(const Json& part) {
  std::string out = part["type"].String();
  if (!part["name"].IsNull() && part.Has("name")) StrAppend(out, "=", part["name"].String());
  if (part.Has("subParts")) {
    out += "(";
    for (const Json& each : part["subParts"].Array()) StrAppend(out, Types(each), " ");
    out += ")";
  }
  return out;
}

// A message inside a part is closed to JMAP (RFC 8621 §4.1.4: blobs are opened by Email/parse).
std::string Types(const MessageView& view, const Part& part) {
  std::string out = AsciiLower(StrCat(part.type, "/", part.subtype));
  std::string name;
  if (const Header* header = view.Find(part, Field::kContentType); header != nullptr) {
    const message::ContentType type = message::ParseContentType(header->value);
    if (const std::string* value = type.parameters.Find("name"); value != nullptr) name = *value;
  }
  if (const Header* header = view.Find(part, Field::kContentDisposition); header != nullptr) {
    const message::ContentDisposition disposition = message::ParseContentDisposition(header->value);
    if (const std::string* value = disposition.parameters.Find("filename"); value != nullptr)
      name = *value;
  }
  if (!name.empty()) StrAppend(out, "=", name);
  if (part.kind == PartKind::kMultipart) {
    out += "(";
    for (uint32_t child = part.first_child; child != message::kNoPart;
         child = view.part(child).next_sibling)
      StrAppend(out, Types(view, view.part(child)), " ");
    out += ")";
  }
  return out;
}

TEST(MimeExpected, StalwartJmap) {
  const std::optional<std::string> folder = Folder("mime/stalwart-jmap");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  Tally tally("mime/stalwart-jmap");
  for (const char* const kind : {"email_get", "email_parse"}) {
    for (const fs::path& path : FilesBelow(*folder + "/" + kind, ".eml")) {
      fs::path json_path = path;
      json_path.replace_extension(".json");
      const Json json = Json::Parse(ReadFile(json_path));
      if (json.IsNull()) continue;
      const std::string raw = ReadFile(path);
      MessageView view = message::ParseMessage(raw);
      std::string attached;
      // Email/parse describes the message that is attached.
      if (StartsWithIgnoreCase(path.stem().string(), "attachment")) {
        for (const Part& part : view.parts()) {
          if (!part.Is("message", "rfc822")) continue;
          message::DecodeBody(view, part, attached);
          view = message::ParseMessage(attached);
          break;
        }
      }
      const std::string id = StrCat(kind, "/", path.stem().string());
      const auto count = [&](const char* what, const std::string& got, const std::string& wanted) {
        tally.Count(StrCat(id, "/", what), got == wanted,
                    StrCat("\n    got      ", got, "\n    expected ", wanted));
      };
      for (const auto& [name, field] : {std::pair<const char*, Field>{"from", Field::kFrom},
                                        {"to", Field::kTo},
                                        {"cc", Field::kCc},
                                        {"bcc", Field::kBcc}}) {
        if (json.Has(name)) count(name, Addresses(view, field), Addresses(json[name]));
      }
      if (json.Has("subject")) {
        const Header* header = view.FindLast(view.root(), Field::kSubject);
        count("subject", header == nullptr ? "" : message::DecodeText(header->value),
              json["subject"].String());
      }
      if (json.Has("sentAt")) {
        const Header* header = view.FindLast(view.root(), Field::kDate);
        std::string got = "none";
        if (header != nullptr) {
          const StatusOr<mail::MailDate> date = mail::ParseDate(header->value);
          if (date.ok())
            got = absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", date->time, absl::UTCTimeZone());
        }
        count("sentAt", got, json["sentAt"].String());
      }
      if (json.Has("messageId")) {
        const Header* header = view.FindLast(view.root(), Field::kMessageId);
        std::string got = header == nullptr ? "" : message::Unfold(header->value);
        if (got.size() > 2) got = got.substr(1, got.size() - 2);
        count("messageId", got, json["messageId"].Array()[0].String());
      }
      if (json.Has("bodyStructure"))
        count("bodyStructure", Types(view, view.root()), Types(json["bodyStructure"]));
      if (json.Has("preview")) {
        // Theirs is of 256 characters and keeps line ends; that the same words come is what counts.
        const std::string wanted = json["preview"].String();
        std::string words;
        std::string flat = wanted;
        std::replace(flat.begin(), flat.end(), '\n', ' ');
        for (const std::string_view word : SplitWords(flat)) StrAppend(words, word, " ");
        const std::string got = message::PreviewText(view, 4096) + " ";
        const std::string begin = words.substr(0, std::min<size_t>(words.size(), 60));
        count("preview", got.substr(0, begin.size()), begin);
      }
    }
  }
  tally.Finish();
}

// ---- MimeKit: the parts of an mbox, with offsets

std::string OffsetsOf(const Json& part, int64_t begin) {
  std::string out =
      StrCat(part["mimeType"].String(), "@", part["beginOffset"].Int() - begin, ",",
             part["headersEndOffset"].Int() - begin, ",", part["endOffset"].Int() - begin, " ");
  for (const Json& child : part["children"].Array()) out += OffsetsOf(child, begin);
  return out;
}

TEST(MimeExpected, MimeKitOffsets) {
  const std::optional<std::string> folder = Folder("mime/mimekit/mbox");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  Tally tally("mime/mimekit/offsets");
  std::string unix_mbox = WithoutCr(ReadFile(*folder + "/issue1189.mbox.txt"));
  std::string dos_mbox;
  for (const char c : unix_mbox) dos_mbox += c == '\n' ? std::string("\r\n") : std::string(1, c);
  for (const bool dos : {false, true}) {
    const std::string& mbox = dos ? dos_mbox : unix_mbox;
    const Json json = Json::Parse(
        ReadFile(StrCat(*folder, "/issue1189.", dos ? "dos" : "unix", "-offsets.json")));
    int number = 0;
    for (const Json& each : json.Array()) {
      const auto begin = static_cast<size_t>(each["beginOffset"].Int());
      const auto end = static_cast<size_t>(each["endOffset"].Int());
      const MessageView view =
          message::ParseMessage(std::string_view(mbox).substr(begin, end - begin));
      std::string got;
      for (const Part& part : view.parts()) {
        StrAppend(got, AsciiLower(StrCat(part.type, "/", part.subtype)), "@", part.header_offset,
                  ",", part.body_offset, ",", part.end_offset, " ");
      }
      const std::string wanted = OffsetsOf(each["body"], static_cast<int64_t>(begin));
      tally.Count(StrCat(dos ? "dos" : "unix", "#", number++), got == wanted,
                  StrCat("\n    got      ", got, "\n    expected ", wanted));
    }
    tally.Count(StrCat(dos ? "dos" : "unix", "-count"), number > 0, "no message");
  }
  tally.Finish();
}

TEST(MimeExpected, MimeKitEncoders) {
  const std::optional<std::string> folder = Folder("mime/mimekit/encoders");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  Tally tally("mime/mimekit/encoders");
  std::string out;
  const std::string jpg = ReadFile(*folder + "/photo.jpg");
  mail::Base64DecodeLenient(ReadFile(*folder + "/photo.b64"), out);
  tally.Count("base64-decode", out == jpg, FirstDifference(out, jpg));
  const std::string b64 = WithoutCr(mail::Base64EncodeLines(jpg));
  tally.Count("base64-encode", b64 == WithoutCr(ReadFile(*folder + "/photo.b64")), "differs");
  out.clear();
  mail::QuotedPrintableDecode(ReadFile(*folder + "/wikipedia.qp"), out);
  const std::string plain = ReadFile(*folder + "/wikipedia.txt");
  tally.Count("quoted-printable-decode", WithoutCr(out) == WithoutCr(plain),
              FirstDifference(WithoutCr(out), WithoutCr(plain)));
  out.clear();
  mail::QuotedPrintableDecode(mail::QuotedPrintableEncode(plain), out);
  tally.Count("quoted-printable-encode", WithoutCr(out) == WithoutCr(plain), "does not read back");
  tally.Finish();
}

// ---- Postfix: which header field belongs to what

TEST(MimeExpected, PostfixTranscripts) {
  const std::optional<std::string> folder = Folder("mime/postfix");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  Tally tally("mime/postfix");
  for (const fs::path& path : FilesBelow(*folder, ".in")) {
    const std::string raw = ReadFile(path);
    fs::path ref_path = path;
    ref_path.replace_extension(".ref");
    const std::string ref = ReadFile(ref_path);
    std::string wanted, got;
    for (const std::string_view line : Split(ref, '\n')) {
      const std::string_view kind = line.substr(0, 4);
      if (kind != "MAIN" && kind != "MULT" && kind != "NEST") continue;
      const std::string_view text = line.substr(std::min(line.find('|'), line.size() - 1) + 1);
      StrAppend(wanted, kind, " ", text.substr(0, text.find(':')), "\n");
    }
    const MessageView view = message::ParseMessage(raw);
    for (const Part& part : view.parts()) {
      const bool main = part.parent == message::kNoPart;
      const bool nest = !main && view.part(part.parent).kind == PartKind::kMessage;
      for (const Header& header : view.headers(part))
        StrAppend(got, main ? "MAIN" : nest ? "NEST" : "MULT", " ", header.name, "\n");
    }
    tally.Count(path.stem().string(), got == wanted, FirstDifference(got, wanted));
  }
  tally.Finish();
}

// ---- Jakarta Mail: parameters and folding

// Upstream writes single bytes as U+0080 to U+00FF.
std::string Bytes(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if ((c == 0xC2 || c == 0xC3) && i + 1 < text.size()) {
      out.push_back(
          static_cast<char>((c & 3) << 6 | (static_cast<unsigned char>(text[++i]) & 0x3F)));
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

// Escapes resolves the \uXXXX that upstream writes in its expectations.
std::string Escapes(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 2, "\\u") == 0 && i + 6 <= text.size()) {
      mail::AppendUtf8(static_cast<uint32_t>(std::stoul(text.substr(i + 2, 4), nullptr, 16)), out);
      i += 5;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

TEST(MimeExpected, JakartaParameters) {
  const std::optional<std::string> folder = Folder("mime/jakarta");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  for (const char* const file : {"parameter-lists.json", "parameter-lists-lenient.json"}) {
    Tally tally(StrCat("mime/jakarta/", file));
    const Json tests = Json::Parse(ReadFile(StrCat(*folder, "/", file)));
    int number = 0;
    for (const Json& test : tests.Array()) {
      const std::string value = Bytes(test["value"].String());
      const message::ParameterList parameters =
          test["field"].String() == "Content-Disposition"
              ? message::ParseContentDisposition(value).parameters
              : message::ParseContentType(value).parameters;
      std::vector<std::string> got, wanted;
      for (const message::Parameter& each : parameters.list)
        got.push_back(StrCat(each.name, "=", each.value));
      for (const Json& each : test["expect"].Array()) wanted.push_back(Escapes(each.String()));
      std::sort(got.begin(), got.end());
      std::sort(wanted.begin(), wanted.end());
      tally.Count(StrCat("#", number++), test.Has("expect_error") || got == wanted,
                  StrCat(Escape(value), "\n    got      ", StrJoin(got, " | "), "\n    expected ",
                         StrJoin(wanted, " | ")));
    }
    tally.Finish();
  }
}

TEST(MimeExpected, JakartaFolding) {
  const std::optional<std::string> folder = Folder("mime/jakarta");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  Tally tally("mime/jakarta/header-folding.json");
  const Json tests = Json::Parse(ReadFile(*folder + "/header-folding.json"));
  int number = 0;
  for (const Json& test : tests.Array()) {
    const std::string& operation = test["operation"].String();
    const std::string value = Bytes(test["value"].String());
    const std::string id = StrCat("#", number++);
    if (operation == "unfold") {
      const std::string got = message::Unfold(value);
      const std::string wanted(Trim(Bytes(test["expect"].String())));
      tally.Count(id, got == wanted, FirstDifference(got, wanted));
      continue;
    }
    // Where lines are cut is each writer's own; what they unfold to is not, and no line is too
    // long.
    std::string header;
    message::AppendHeader("Subject", value, header);
    const MessageView view = message::ParseMessage(header);
    const std::string got =
        view.all_headers().size() == 1 ? message::Unfold(view.all_headers()[0].value) : "";
    std::string wanted(Trim(value));
    for (char& c : wanted) c = c == '\r' || c == '\n' ? ' ' : c;
    size_t longest = 0;
    for (const std::string_view line : Split(header, '\n'))
      longest = std::max(longest, line.size());
    tally.Count(id, got == wanted && longest < 1000, FirstDifference(got, wanted));
  }
  tally.Finish();
}

// ---- charset tables

TEST(MimeExpected, Charsets) {
  const std::optional<std::string> folder = Folder("mime/charset");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  Tally decode("mime/charset/decode"), encode("mime/charset/encode");
  const std::pair<const char*, const char*> charsets[] = {
      {"big5", "big5"},       {"euc_kr", "euc-kr"},
      {"gb18030", "gb18030"}, {"iso_2022_jp", "iso-2022-jp"},
      {"jis0208", "euc-jp"},  {"shift_jis", "shift_jis"},
      {"jis0212", "euc-jp"}};
  for (const auto& [file, charset] : charsets) {
    std::string got;
    const std::string in = ReadFile(StrCat(*folder, "/", file, "_in.txt"));
    const std::string wanted = ReadFile(StrCat(*folder, "/", file, "_in_ref.txt"));
    ASSERT_FALSE(wanted.empty()) << file;
    message::AppendAsUtf8(charset, in, got);
    // A line of the table is one character or a few: that many may differ.
    const std::vector<std::string_view> ours = Split(got, '\n');
    const std::vector<std::string_view> theirs = Split(wanted, '\n');
    size_t differ = 0;
    for (size_t i = 0; i < std::max(ours.size(), theirs.size()); ++i)
      differ += i >= ours.size() || i >= theirs.size() || ours[i] != theirs[i] ? 1 : 0;
    std::printf("charset %s: %zu of %zu lines differ\n", file, differ, theirs.size());
    decode.Count(file, differ == 0,
                 StrCat(differ, " of ", theirs.size(), " lines ", FirstDifference(got, wanted)));
    const std::string out = ReadFile(StrCat(*folder, "/", file, "_out.txt"));
    if (out.empty()) continue;
    std::string coded;
    // What cannot be written is refused by us and written as a character reference upstream, so the
    // characters are tried a line at a time.
    const std::string coded_wanted = ReadFile(StrCat(*folder, "/", file, "_out_ref.txt"));
    const std::vector<std::string_view> lines = Split(out, '\n');
    const std::vector<std::string_view> wanted_lines = Split(coded_wanted, '\n');
    differ = 0;
    for (size_t i = 0; i < lines.size() && i < wanted_lines.size(); ++i) {
      coded.clear();
      const bool written = message::EncodeFromUtf8(charset, lines[i], coded);
      const bool reference = wanted_lines[i].find("&#") != std::string_view::npos;
      differ += reference ? (written ? 1 : 0) : (!written || coded != wanted_lines[i] ? 1 : 0);
    }
    std::printf("charset %s: %zu of %zu lines are written differently\n", file, differ,
                lines.size());
    encode.Count(file, differ == 0, StrCat(differ, " of ", lines.size(), " lines differ"));
  }
  decode.Finish();
  encode.Finish();
}

}  // namespace
}  // namespace postern::conformance
