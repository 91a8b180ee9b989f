// The message parser beside libgmime in one run: speed over 2,000 made messages, the codecs alone,
// memory, and how time grows with the size of hostile input. It prints a table; exit 1 when a line
// misses its mark.
//
//   message_bench [--quick]    --quick: a tenth of the messages, hostile shapes of 1 MiB
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <malloc.h>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/mail/date.h"
#include "lib/core/mail/quoted_printable.h"
#include "lib/core/message/address_list.h"
#include "lib/core/message/bounce.h"
#include "lib/core/message/encoded_word.h"
#include "lib/core/message/imap_structure.h"
#include "lib/core/message/parser.h"
#include "lib/core/message/text.h"

#if defined(POSTERN_BENCH_GMIME)
#include <gmime/gmime.h>
#endif

// ---- memory that C++ asks for, at its highest

namespace {
size_t g_live = 0;
size_t g_peak = 0;
}  // namespace

void* operator new(size_t size) {
  void* at = std::malloc(size);
  if (at == nullptr) throw std::bad_alloc();
  g_live += malloc_usable_size(at);
  g_peak = std::max(g_peak, g_live);
  return at;
}
void operator delete(void* at) noexcept {
  if (at == nullptr) return;
  g_live -= malloc_usable_size(at);
  std::free(at);
}
void operator delete(void* at, size_t) noexcept { operator delete(at); }

namespace postern::message {
namespace {

using Clock = std::chrono::steady_clock;

bool g_missed = false;
size_t g_sink = 0;  // what keeps the compiler from leaving work out

double Seconds(const std::function<void()>& run) {
  const auto start = Clock::now();
  run();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Best is the shortest of a few runs, each repeated until it lasts long enough for the clock.
double Best(const std::function<void()>& run, double least = 0.05) {
  double best = 1e9;
  for (int round = 0; round < 3; ++round) {
    size_t times = 1;
    while (true) {
      const double took = Seconds([&] {
        for (size_t i = 0; i < times; ++i) run();
      });
      if (took >= least || times > 1'000'000) {
        best = std::min(best, took / static_cast<double>(times));
        break;
      }
      times *= 4;
    }
  }
  return best;
}

// ---- the made messages

// Chance is a small generator: the same messages on every machine.
class Chance {
 public:
  uint64_t Next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  size_t Below(size_t bound) { return static_cast<size_t>(Next() % bound); }

 private:
  uint64_t state_ = 0x9E3779B97F4A7C15u;
};

std::string Words(Chance& chance, size_t bytes, bool foreign) {
  static constexpr std::string_view kWords[] = {
      "the",   "quarterly", "report",  "is",      "attached", "and",     "we",
      "would", "like",      "to",      "hear",    "whether",  "meeting", "stands",
      "on",    "next",      "Tuesday", "regards", "a=b",      "please"};
  static constexpr std::string_view kForeign[] = {"Grüße", "für", "straße", "façade", "señor", "—"};
  std::string out;
  size_t line = 0;
  while (out.size() < bytes) {
    const std::string_view word =
        foreign && chance.Below(6) == 0 ? kForeign[chance.Below(6)] : kWords[chance.Below(20)];
    out.append(word);
    line += word.size();
    if (line > 68) {
      out.append("\r\n");
      line = 0;
    } else {
      out.push_back(' ');
    }
  }
  return out;
}

std::string Octets(Chance& chance, size_t bytes) {
  std::string out(bytes, '\0');
  for (char& c : out) c = static_cast<char>(chance.Next() >> 24);
  return out;
}

std::string Html(Chance& chance, size_t bytes) {
  std::string out = "<html><body>\r\n";
  while (out.size() < bytes)
    StrAppend(out, "<p class=\"text\">", Words(chance, 400, true), "</p>\r\n");
  return out + "</body></html>\r\n";
}

std::string MakeMessage(Chance& chance, size_t bytes, size_t number) {
  std::string text = StrCat(
      "Return-Path: <bounce-", number, "@lists.example.org>\r\n",
      "Received: from mx.example.org (mx.example.org [192.0.2.1])\r\n\tby mail.example.com with "
      "ESMTPS id 4a7f\r\n\tfor <b@example.com>; Tue, 1 Jul 2003 10:52:37 +0200\r\n",
      "Received: from client.example.org (localhost [127.0.0.1])\r\n\tby mx.example.org with ESMTP "
      "id 99aa;\r\n\tTue, 1 Jul 2003 10:52:30 +0200\r\n",
      "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=mail;\r\n\th=from:to:"
      "subject:date; bh=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=;\r\n\tb=",
      mail::Base64Encode(Octets(chance, 128)), "\r\n",
      "From: =?utf-8?Q?J=C3=BCrgen_M=C3=BCller?= <juergen@example.org>\r\n",
      "To: \"Smith, Ann\" <ann@example.com>, bob@example.com\r\n",
      "Cc: Team: carol@example.com, Dave <dave@example.com>;\r\n",
      "Subject: =?utf-8?B?R3LDvMOfZSBhdXMgTcO8bmNoZW4=?= report ", number, "\r\n",
      "Date: Tue, 1 Jul 2003 10:52:37 +0200\r\n", "Message-ID: <", number, ".77@example.org>\r\n",
      "MIME-Version: 1.0\r\nX-Mailer: bench 1.0\r\nList-Id: <list.example.org>\r\n");
  const size_t kind = chance.Below(10);
  const std::string boundary = StrCat("=_part_", number, "_", chance.Next());
  const std::string encoded_text =
      "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
      "quoted-printable\r\n\r\n";
  if (kind < 3) {
    if (kind == 0) {
      text += "Content-Type: text/plain; charset=us-ascii\r\n\r\n" + Words(chance, bytes, false);
    } else {
      text += encoded_text + mail::QuotedPrintableEncode(Words(chance, bytes, true));
    }
    return text;
  }
  if (kind < 6) {
    StrAppend(text, "Content-Type: multipart/alternative; boundary=\"", boundary, "\"\r\n\r\n--",
              boundary, "\r\n", encoded_text,
              mail::QuotedPrintableEncode(Words(chance, bytes / 3, true)), "\r\n--", boundary,
              "\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: "
              "quoted-printable\r\n\r\n",
              mail::QuotedPrintableEncode(Html(chance, bytes * 2 / 3)), "\r\n--", boundary,
              "--\r\n");
    return text;
  }
  const size_t attachments = 1 + chance.Below(3);
  StrAppend(text, "Content-Type: multipart/mixed; boundary=\"", boundary, "\"\r\n\r\n--", boundary,
            "\r\n", encoded_text, mail::QuotedPrintableEncode(Words(chance, 900, true)));
  for (size_t i = 0; i < attachments; ++i) {
    StrAppend(text, "\r\n--", boundary, "\r\nContent-Type: application/pdf; name=\"file", i,
              ".pdf\"\r\nContent-Disposition: attachment; filename=\"file", i,
              ".pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n",
              mail::Base64EncodeLines(Octets(chance, bytes * 3 / 4 / attachments)));
  }
  return StrCat(text, "\r\n--", boundary, "--\r\n");
}

std::vector<std::string> MakeMessages(size_t count) {
  Chance chance;
  std::vector<std::string> messages;
  for (size_t i = 0; i < count; ++i) {
    // 2 KiB to 2 MiB, each doubling as likely as the others.
    const size_t base = size_t{2048} << chance.Below(10);
    messages.push_back(MakeMessage(chance, base + chance.Below(base), i));
  }
  return messages;
}

// ---- the two readers

void ReadMainHeaders(const MessageView& view) {
  const Part& root = view.root();
  for (const Field field : {Field::kFrom, Field::kTo, Field::kCc}) {
    const Header* header = view.Find(root, field);
    if (header == nullptr) continue;
    for (const Mailbox& mailbox : ParseAddressList(header->value))
      g_sink += mailbox.DisplayName().size() + mailbox.Address().size();
  }
  if (const Header* h = view.Find(root, Field::kSubject); h != nullptr)
    g_sink += DecodeText(h->value).size();
  if (const Header* h = view.Find(root, Field::kMessageId); h != nullptr)
    g_sink += Unfold(h->value).size();
  if (const Header* h = view.Find(root, Field::kDate); h != nullptr)
    g_sink += mail::ParseDate(h->value).ok() ? 1 : 0;
  for (const Part& part : view.parts()) g_sink += part.type.size() + part.subtype.size();
}

void OursParse(const std::string& message) { ReadMainHeaders(ParseMessage(message)); }

void OursDecode(const std::string& message) {
  const MessageView view = ParseMessage(message);
  ReadMainHeaders(view);
  for (const Part& part : view.parts()) {
    if (part.kind != PartKind::kLeaf) continue;
    BodyReader reader(view, part);
    for (std::string_view piece; reader.Next(&piece);) g_sink += piece.size();
  }
}

#if defined(POSTERN_BENCH_GMIME)
void GmimePart(GMimeObject*, GMimeObject* part, gpointer decode) {
  GMimeContentType* type = g_mime_object_get_content_type(part);
  g_sink += std::strlen(g_mime_content_type_get_media_type(type)) +
            std::strlen(g_mime_content_type_get_media_subtype(type));
  if (decode == nullptr || !GMIME_IS_PART(part)) return;
  GMimeDataWrapper* content = g_mime_part_get_content(GMIME_PART(part));
  if (content == nullptr) return;
  GMimeStream* nothing = g_mime_stream_null_new();
  g_sink += static_cast<size_t>(g_mime_data_wrapper_write_to_stream(content, nothing));
  g_object_unref(nothing);
}

void Gmime(const std::string& message, bool decode) {
  GMimeStream* stream = g_mime_stream_mem_new_with_buffer(message.data(), message.size());
  GMimeParser* parser = g_mime_parser_new_with_stream(stream);
  GMimeMessage* parsed = g_mime_parser_construct_message(parser, nullptr);
  for (InternetAddressList* list : {g_mime_message_get_from(parsed), g_mime_message_get_to(parsed),
                                    g_mime_message_get_cc(parsed)}) {
    char* text = internet_address_list_to_string(list, nullptr, FALSE);
    if (text != nullptr) g_sink += std::strlen(text);
    g_free(text);
  }
  g_sink += std::strlen(g_mime_message_get_subject(parsed));
  g_sink += std::strlen(g_mime_message_get_message_id(parsed));
  g_sink += g_mime_message_get_date(parsed) != nullptr ? 1 : 0;
  g_mime_message_foreach(parsed, GmimePart, decode ? parsed : nullptr);
  g_object_unref(parsed);
  g_object_unref(parser);
  g_object_unref(stream);
}
#endif

void Tell(const char* what, double value, const char* unit, double wanted, bool at_least) {
  const bool good = at_least ? value >= wanted : value <= wanted;
  g_missed = g_missed || !good;
  std::printf("%-58s %10.2f %-8s %s %.2f  %s\n", what, value, unit, at_least ? ">=" : "<=", wanted,
              good ? "ok" : "MISSED");
}

void CompareReaders(size_t count) {
  const std::vector<std::string> messages = MakeMessages(count);
  size_t bytes = 0;
  for (const std::string& message : messages) bytes += message.size();
  std::printf("%zu messages, %.1f MB\n", messages.size(), static_cast<double>(bytes) / 1e6);
  for (const bool decode : {false, true}) {
    double ours = 1e9;
    [[maybe_unused]] double theirs = 1e9;
    for (int round = 0; round < 3; ++round) {
      ours = std::min(ours, Seconds([&] {
                        for (const std::string& message : messages)
                          decode ? OursDecode(message) : OursParse(message);
                      }));
#if defined(POSTERN_BENCH_GMIME)
      theirs = std::min(theirs, Seconds([&] {
                          for (const std::string& message : messages) Gmime(message, decode);
                        }));
#endif
    }
    const double mb = static_cast<double>(bytes) / 1e6;
    const char* const what = decode ? "every leaf decoded" : "structure and main headers";
    std::printf("%-28s postern %8.0f MB/s", what, mb / ours);
#if defined(POSTERN_BENCH_GMIME)
    std::printf("   libgmime %8.0f MB/s\n", mb / theirs);
    Tell(StrCat(what, ", times libgmime").c_str(), theirs / ours, "x", decode ? 3 : 4, true);
#else
    std::printf("   (built without libgmime)\n");
#endif
  }
  // What a parse holds over the input, for the largest and the usual.
  size_t worst = 0;
  for (const std::string& message : messages) {
    const size_t before = g_live;
    g_peak = g_live;
    OursParse(message);
    worst = std::max(worst, g_peak - before);
  }
  Tell("memory over the input, the most of any message", static_cast<double>(worst) / 1024, "KiB",
       64, false);
}

void Codecs() {
  Chance chance;
  const auto rate = [](const std::string& text, const std::function<void()>& run) {
    return static_cast<double>(text.size()) / Best(run) / 1e9;
  };
  std::string out;
  const std::string base64 = mail::Base64EncodeLines(Octets(chance, 750'000));
  Tell("base64 decode, lines of 76",
       rate(base64,
            [&] {
              out.clear();
              mail::Base64DecodeLenient(base64, out);
              g_sink += out.size();
            }),
       "GB/s", 2, true);
  const std::string one_line = mail::Base64Encode(Octets(chance, 750'000));
  Tell("base64 decode, one line",
       rate(one_line,
            [&] {
              out.clear();
              mail::Base64DecodeLenient(one_line, out);
              g_sink += out.size();
            }),
       "GB/s", 2, true);
  const std::string text = mail::QuotedPrintableEncode(Words(chance, 1'000'000, true));
  Tell("quoted-printable decode, western text",
       rate(text,
            [&] {
              out.clear();
              mail::QuotedPrintableDecode(text, out);
              g_sink += out.size();
            }),
       "GB/s", 1, true);
  std::string cyrillic;
  while (cyrillic.size() < 1'000'000) cyrillic += "Здравствуйте, это отчёт за квартал. ";
  const std::string dense = mail::QuotedPrintableEncode(cyrillic);
  Tell("quoted-printable decode, nearly every octet escaped",
       rate(dense,
            [&] {
              out.clear();
              mail::QuotedPrintableDecode(dense, out);
              g_sink += out.size();
            }),
       "GB/s", 1, true);
}

// ---- hostile shapes

struct Shape {
  const char* name;
  std::string (*make)(size_t bytes);
  bool octets_only = false;  // parsed only: no envelope, structure or text
};

std::string Repeat(std::string head, std::string_view unit, size_t bytes) {
  head.reserve(bytes + unit.size());
  while (head.size() < bytes) head.append(unit);
  return head;
}

constexpr char kMixed[] = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n";

std::string Nested(size_t bytes) {
  std::string out;
  for (size_t i = 0; out.size() < bytes; ++i)
    StrAppend(out, "Content-Type: multipart/mixed; boundary=b", i, "\r\n\r\n--b", i, "\r\n");
  return out;
}
std::string NestedThenLines(size_t bytes) {
  std::string out;
  for (size_t i = 0; i < 100; ++i)
    StrAppend(out, "Content-Type: multipart/mixed; boundary=b", i, "\r\n\r\n--b", i, "\r\n");
  return Repeat(out + "\r\n", "--x9\r\n", bytes);
}

constexpr Shape kShapes[] = {
    {"delimiter lines", [](size_t n) { return Repeat(kMixed, "--b\r\n", n); }},
    {"lines that look like delimiters", [](size_t n) { return Repeat(kMixed, "--x\r\n", n); }},
    {"the same below a hundred multiparts", NestedThenLines},
    {"multiparts in one another", Nested},
    {"messages in one another",
     [](size_t n) { return Repeat("", "Content-Type: message/rfc822\r\n\r\n", n); }},
    {"header fields", [](size_t n) { return Repeat("", "X: y\r\n", n); }},
    {"header fields without value", [](size_t n) { return Repeat("", "a:\n", n); }},
    {"one long header field", [](size_t n) { return Repeat("Subject: ", "x", n); }},
    {"one folded header field", [](size_t n) { return Repeat("Subject: x", "\r\n x", n); }},
    {"encoded words never closed", [](size_t n) { return Repeat("Subject: ", "=?utf-8?Q?a", n); }},
    {"encoded words", [](size_t n) { return Repeat("Subject: ", "=?utf-8?Q?=C3=A4?= ", n); }},
    {"comments in an address list", [](size_t n) { return Repeat("From: ", "(", n); }},
    {"quotes in an address list", [](size_t n) { return Repeat("From: ", "\"<@", n); }},
    {"addresses", [](size_t n) { return Repeat("To: ", "a@b,", n); }},
    {"parameters", [](size_t n) { return Repeat("Content-Type: text/plain", "; a=\"b\"", n); }},
    {"pieces of RFC 2231",
     [](size_t n) { return Repeat("Content-Type: text/plain", "; n*1*=a; n*0=", n); }},
    {"CR alone", [](size_t n) { return Repeat("From: a\r\n\r\n", "\r", n); }},
    {"NUL", [](size_t n) { return Repeat("From: a\r\n\r\n", std::string_view("\0", 1), n); }},
    {"one line of a body", [](size_t n) { return Repeat("From: a\r\n\r\n", "x", n); }},
    {"base64 of equals signs",
     [](size_t n) { return Repeat("Content-Transfer-Encoding: base64\r\n\r\n", "=", n); }},
    {"quoted-printable of soft breaks",
     [](size_t n) {
       return Repeat("Content-Transfer-Encoding: quoted-printable\r\n\r\n", "= \t", n);
     }},
    {"elements of HTML in one another",
     [](size_t n) { return Repeat("Content-Type: text/html\r\n\r\n", "<div>", n); }},
    {"paragraphs of HTML in open formatting",
     [](size_t n) { return Repeat("Content-Type: text/html\r\n\r\n", "<p><b id=1></p>", n); }},
    {"lines of a bounce",
     [](size_t n) { return Repeat("From: MAILER-DAEMON\r\n\r\n", "<a@b>: 550 5.1.1\r\n", n); }},
    {"lines of a delivery status that are no fields",
     [](size_t n) { return Repeat("Content-Type: message/delivery-status\r\n\r\n", "x\n", n); }},
    {"quoted-printable of blanks",
     [](size_t n) {
       return Repeat("Content-Transfer-Encoding: quoted-printable\r\n\r\n", " ", n);
     }},
};

void ReadAll(const std::string& text) {
  const MessageView view = ParseMessage(text);
  g_sink +=
      EnvelopeText(view).size() + BodyStructureText(view, true).size() + DecodedText(view).size();
  g_sink += ReadBounce(view).recipients.size();
}

void Hostile(size_t bytes) {
  std::printf("\nhostile shapes, %zu KiB against half of it (time in ms, t(2n)/t(n))\n",
              bytes / 1024);
  for (const Shape& shape : kShapes) {
    const std::string half = shape.make(bytes / 2);
    const std::string whole = shape.make(bytes);
    double ratio = 1e9, took = 0;
    // A slow moment of the machine is not growth: the best of a few tries counts.
    for (int round = 0; round < 6 && ratio >= 2.2; ++round) {
      const double first = Best([&] { ReadAll(half); }, 0.02);
      const double second = Best([&] { ReadAll(whole); }, 0.02);
      took = second;
      ratio = std::min(ratio, second / first);
    }
    const size_t before = g_live;
    g_peak = g_live;
    (void)ParseMessage(whole);
    const double peak = static_cast<double>(g_peak - before) / 1024;
    const bool good = ratio < 2.2 && took < 1;
    g_missed = g_missed || !good;
    std::printf("%-40s %9.2f ms   x%.2f   parse holds %7.0f KiB  %s\n", shape.name, took * 1e3,
                ratio, peak, good ? "ok" : "MISSED");
  }
}

void Gigabyte(size_t bytes) {
  std::printf("\nparse alone of %zu MiB\n", bytes >> 20);
  for (const char* const unit : {"--b\r\n", "--x\r\n", "--b--\r\n", "\n", "--\n"}) {
    const std::string text = Repeat(kMixed, unit, bytes);
    const size_t before = g_live;
    g_peak = g_live;
    const double took = Seconds([&] { g_sink += ParseMessage(text).parts().size(); });
    Tell(StrCat("lines of \"", Escape(unit), "\", holding ", (g_peak - before) / 1024, " KiB")
             .c_str(),
         took, "s", 1, false);
  }
}

}  // namespace
}  // namespace postern::message

int main(int argc, char** argv) {
  const bool quick = argc > 1 && std::strcmp(argv[1], "--quick") == 0;
#if defined(POSTERN_BENCH_GMIME)
  g_mime_init();
#endif
  // Freed memory is kept: otherwise the kernel's clearing of fresh pages is measured.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  postern::message::CompareReaders(quick ? 200 : 2000);
  postern::message::Codecs();
  postern::message::Hostile(quick ? 1 << 20 : 10 << 20);
  postern::message::Gigabyte(size_t{quick ? 1u << 27 : 1u << 30});
  std::fflush(stdout);
  std::fprintf(stderr, "(%zu)\n", postern::message::g_sink);
  return postern::message::g_missed ? 1 : 0;
}
