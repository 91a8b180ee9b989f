#include "lib/core/message/transfer_downgrade.h"

#include <array>
#include <string>

#include <gtest/gtest.h>

#include "lib/core/message/scan.h"
#include "lib/core/message/text.h"

namespace postern::message {
namespace {

using namespace std::string_literals;

// Decoded gives the content of part `index`, in its octets.
std::string Decoded(const std::string& raw, size_t index) {
  const MessageView view = ParseMessage(raw);
  std::string out;
  if (index >= view.parts().size()) return "no such part";
  EXPECT_TRUE(DecodeBody(view, view.part(index), out));
  return out;
}

std::string Lowered(const std::string& raw, Carriage carriage, DowngradeOptions options = {}) {
  const StatusOr<DowngradePlan> plan = PlanDowngrade(raw, carriage, options);
  if (!plan.ok()) return std::string(Message(plan.status()));
  const std::string out = Downgraded(*plan, raw);
  EXPECT_EQ(out.size(), plan->size_bytes);
  EXPECT_EQ(plan->changed, out != raw);
  EXPECT_EQ(plan->eight_bit, Examine(out).eight_bit);
  return out;
}

std::string AllOctets() {
  std::string out;
  for (int i = 0; i < 256; ++i) out.push_back(static_cast<char>(i));
  return out;
}

TEST(TransferDowngrade, ABinaryBodyComesBackOctetForOctet) {
  for (size_t extra : {0u, 1u, 2u, 55u, 56u, 57u, 58u, 70'000u}) {
    std::string body = AllOctets();
    while (body.size() < 256 + extra) body.push_back(static_cast<char>(body.size() * 7));
    const std::string raw =
        "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
        "Content-Transfer-Encoding: binary\r\n\r\n" +
        body;
    for (const Carriage carriage : {Carriage::k8BitLines, Carriage::k7BitLines}) {
      const std::string out = Lowered(raw, carriage);
      EXPECT_EQ(Decoded(out, 0), body) << extra;
      EXPECT_NE(out.find("Content-Transfer-Encoding: base64\r\n"), std::string::npos);
      EXPECT_EQ(out.find("binary"), std::string::npos);
      const OctetFacts facts = Examine(out);
      EXPECT_FALSE(facts.nul || facts.bare_cr || facts.bare_lf || facts.eight_bit);
      EXPECT_LE(facts.longest_line_bytes, 76u);
    }
  }
}

TEST(TransferDowngrade, OnlyThePartThatMustIsEncoded) {
  const std::string binary = "\x89PNG\r\n\x1a\n\0\xff\r"s;
  const std::string raw =
      "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"
      "Content-Transfer-Encoding: binary\r\n\r\npreamble\r\n--b\r\n"
      "Content-Transfer-Encoding: 8bit\r\n\r\ngr\xc3\xbc\xc3\x9f\x65\r\n--b\r\n"
      "Content-Type: image/png\r\nContent-Transfer-Encoding: binary\r\nX-After: 1\r\n\r\n" +
      binary + "\r\n--b--\r\nepilogue\r\n";
  const std::string out = Lowered(raw, Carriage::k8BitLines);
  EXPECT_EQ(out,
            "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"
            "Content-Transfer-Encoding: 8bit\r\n\r\npreamble\r\n--b\r\n"
            "Content-Transfer-Encoding: 8bit\r\n\r\ngr\xc3\xbc\xc3\x9f\x65\r\n--b\r\n"
            "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\nX-After: 1\r\n\r\n"
            "iVBORw0KGgoA/w0=\r\n--b--\r\nepilogue\r\n");
  EXPECT_EQ(Decoded(out, 2), binary);
  const std::string seven = Lowered(raw, Carriage::k7BitLines);
  EXPECT_NE(seven.find("Content-Transfer-Encoding: 7bit\r\n\r\npreamble"), std::string::npos);
  EXPECT_NE(seven.find("Content-Transfer-Encoding: base64\r\n\r\nZ3LDvMOfZQ=="), std::string::npos)
      << seven;
  EXPECT_EQ(Decoded(seven, 1), "gr\xc3\xbc\xc3\x9f\x65");
  EXPECT_EQ(Decoded(seven, 2), binary);
}

TEST(TransferDowngrade, TextStaysReadable) {
  const std::string text = "Dear all,\r\nthe caf\xc3\xa9 has moved.\r\nFrom here = there.\r\n" +
                           std::string(1500, 'x') + "\r\n.\r\n";
  const std::string raw = "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text;
  const std::string out = Lowered(raw, Carriage::k7BitLines);
  EXPECT_EQ(Decoded(out, 0), text);
  EXPECT_NE(out.find("MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
                     "Dear all,\r\nthe caf=C3=A9 has moved.\r\n"),
            std::string::npos)
      << out;
  // Without room for it, base64 does as well.
  DowngradeOptions tight;
  tight.max_literal_bytes = 100;
  const std::string packed = Lowered(raw, Carriage::k7BitLines, tight);
  EXPECT_NE(packed.find("base64"), std::string::npos);
  EXPECT_EQ(Decoded(packed, 0), text);
}

TEST(TransferDowngrade, ABodyWithoutItsLastLineEndDoesNotGainOne) {
  const std::string raw = "Content-Type: text/plain\r\n\r\nno line end";
  const std::string out = Lowered(raw, Carriage::k8BitLines);
  EXPECT_NE(out.find("\r\n\r\nno line end=\r\n"), std::string::npos) << out;
  EXPECT_EQ(Decoded(out, 0), "no line end");
}

TEST(TransferDowngrade, WhatFitsIsLeftAlone) {
  for (const std::string& raw :
       {"Subject: x\r\n\r\nplain\r\n"s, "Subject: x\r\n\r\n"s, ""s, "no header at all\r\n"s,
        "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nsigned\r\n--b\r\n"
        "Content-Type: application/pgp-signature\r\n\r\nsig\r\n--b--\r\n"s}) {
    const StatusOr<DowngradePlan> plan = PlanDowngrade(raw, Carriage::k7BitLines);
    ASSERT_TRUE(plan.ok()) << raw;
    EXPECT_FALSE(plan->changed) << raw;
    EXPECT_EQ(Downgraded(*plan, raw), raw);
  }
}

TEST(TransferDowngrade, MessagesInsideMessagesAreReached) {
  const std::string raw =
      "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: binary\r\n\r\n"
      "Subject: inner\r\nContent-Type: application/octet-stream\r\n\r\na\0b\r\n"s;
  EXPECT_EQ(Lowered(raw, Carriage::k8BitLines),
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
            "Subject: inner\r\nContent-Type: application/octet-stream\r\nMIME-Version: 1.0\r\n"
            "Content-Transfer-Encoding: base64\r\n\r\nYQBiDQo=\r\n");
}

TEST(TransferDowngrade, ALineOfTheHeaderCannotBeBrokenInto) {
  // A bare LF is read as a line end here, and becomes one; NUL and CR are nothing.
  EXPECT_EQ(Lowered("Subject: a\nX: b\rc\0d\r\n\r\ntext\r\n"s, Carriage::k8BitLines),
            "Subject: a\r\nX: b c d\r\n\r\ntext\r\n");
}

TEST(TransferDowngrade, AHeaderWithoutEmptyLineGetsOne) {
  const std::string out = Lowered("Subject: a\r\nnot a field\0\r\n"s, Carriage::k8BitLines);
  EXPECT_EQ(Decoded(out, 0), "not a field\0\r\n"s) << out;
}

TEST(TransferDowngrade, AnEncodedPartThatIsBrokenIsEncodedAnew) {
  const std::string raw = "Content-Type: image/png\r\nContent-Transfer-Encoding: BASE64\r\n\r\n" +
                          std::string(1200, 'A') + "\r\n";
  const std::string out = Lowered(raw, Carriage::k8BitLines);
  EXPECT_EQ(Decoded(out, 0), std::string(900, '\0'));
  EXPECT_LE(Examine(out).longest_line_bytes, 76u);
}

// RFC 6152 §3 and RFC 6531 §3.2: seven bits are seven bits in the header as well.
TEST(TransferDowngrade, HeaderFieldsBecomeAsciiForSevenBits) {
  const std::string raw =
      "Received: from a\r\nSubject: caf\xc3\xa9\r\nMIME-Version: 1.0\r\n"
      "Content-Transfer-Encoding: 8bit\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
      "--b\r\nContent-Disposition: inline; filename=\"\xc3\xa9\"\r\n\r\ntext\r\n--b\r\n"
      "Content-Type: message/rfc822\r\n\r\nFrom: Ren\xe9 <r@a.example>\r\n\r\ninner\r\n"
      "--b--\r\n";
  EXPECT_EQ(Lowered(raw, Carriage::k7BitLines),
            "Received: from a\r\nSubject: =?utf-8?B?Y2Fmw6k=?=\r\nMIME-Version: 1.0\r\n"
            "Content-Transfer-Encoding: 7bit\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
            "--b\r\nContent-Disposition: inline;\r\n\tfilename*=utf-8''%C3%A9\r\n\r\ntext\r\n"
            "--b\r\nContent-Type: message/rfc822\r\n\r\n"
            "From: =?utf-8?B?UmVuw6k=?= <r@a.example>\r\n\r\ninner\r\n--b--\r\n");
  EXPECT_EQ(Lowered(raw, Carriage::k8BitLines), raw) << "signatures hold where eight bits pass";
  EXPECT_TRUE(PlanDowngrade(raw, Carriage::k8BitLines)->eight_bit_header);
  EXPECT_TRUE(PlanDowngrade(raw, Carriage::k7BitLines)->eight_bit_header);
  const std::string body = "Subject: a\r\n\r\ncaf\xc3\xa9\r\n";
  EXPECT_FALSE(PlanDowngrade(body, Carriage::k7BitLines)->eight_bit_header);
  // Lines that are no field say nothing to anyone.
  EXPECT_EQ(Lowered("X-\xc3\xa9: a\r\nSubject: b\r\n\r\ntext\r\n", Carriage::k7BitLines),
            "X-??: a\r\nSubject: b\r\n\r\ntext\r\n");
}

TEST(TransferDowngrade, AHeaderThatCannotBecomeAsciiIsRefused) {
  const std::string part = "--b\r\nSubject: \xc3\xa9\r\n\r\ntext\r\n--b--\r\n";
  EXPECT_EQ(
      Lowered("Content-Type: multipart/signed; boundary=b\r\n\r\n" + part, Carriage::k7BitLines),
      "a signed or encrypted part cannot be carried as it is");
  EXPECT_EQ(Lowered("Subject: \xc3\xa9\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b"
                    "\r\n\r\ntext\r\n--b--\r\n",
                    Carriage::k7BitLines),
            "Subject: =?utf-8?B?w6k=?=\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b"
            "\r\n\r\ntext\r\n--b--\r\n")
      << "the field is not what was signed";
  EXPECT_EQ(Lowered("Content-Type: multipart/mixed; boundary=\xc3\xa9\r\n\r\ntext\r\n",
                    Carriage::k7BitLines),
            "its field Content-Type cannot be written in ASCII");
  DowngradeOptions tight;
  tight.max_field_bytes = 40;
  EXPECT_EQ(Lowered("Subject: \xc3\xa9\r\n\r\n", Carriage::k7BitLines, tight),
            "Subject: =?utf-8?B?w6k=?=\r\n\r\n");
  EXPECT_EQ(Lowered("Subject: \xc3\xa9\r\nComments: \xc3\xa9\r\n\r\n", Carriage::k7BitLines, tight),
            "its header is too large to be written in ASCII");
  DowngradeOptions few;
  few.parse.max_headers = 1;
  EXPECT_EQ(Lowered("A: b\r\nSubject: \xc3\xa9\r\n\r\n", Carriage::k7BitLines, few),
            "its header is too large to be written in ASCII");
}

TEST(TransferDowngrade, WhatMayNotBeTouchedIsRefused) {
  const std::string sorry = "a signed or encrypted part cannot be carried as it is";
  const auto with_signed = [](const std::string& kind, const std::string& part) {
    return "Content-Type: multipart/" + kind + "; boundary=b\r\n\r\n--b\r\n" + part +
           "\r\n--b\r\nContent-Type: application/x\r\n\r\nsig\r\n--b--\r\n";
  };
  EXPECT_EQ(Lowered(with_signed("signed", "\r\ncaf\xc3\xa9"), Carriage::k7BitLines), sorry);
  EXPECT_EQ(Lowered(with_signed("encrypted", "\r\na\0b"s), Carriage::k8BitLines), sorry);
  EXPECT_EQ(Lowered(with_signed("signed", "X: a\nY: b\r\n\r\ntext"), Carriage::k8BitLines), sorry);
  EXPECT_EQ(
      Lowered(with_signed("signed",
                          "Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\na\0\r\n"
                          "--c--\r\n"s),
              Carriage::k8BitLines),
      sorry);
  // Its label is not touched either where the octets fit.
  const std::string fits =
      with_signed("signed", "Content-Transfer-Encoding: binary\r\n\r\nlines\r\n");
  EXPECT_EQ(Lowered(fits, Carriage::k7BitLines), fits);
  EXPECT_EQ(Lowered("Content-Type: message/partial; id=x; number=1\r\n\r\na\0b\r\n"s,
                    Carriage::k8BitLines),
            "a part of type message/partial may not be encoded");
  EXPECT_EQ(Lowered("Content-Type: multipart/mixed\r\n\r\na\0b\r\n"s, Carriage::k8BitLines),
            "a part of type multipart/mixed may not be encoded");
}

TEST(TransferDowngrade, ItCanBeReadFromAnywhereInPiecesOfAnySize) {
  std::string body = AllOctets();
  for (int i = 0; i < 3; ++i) body += body;
  const std::string raw =
      "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ncaf\xc3\xa9 here\r\n--b\r\n"
      "Content-Type: image/png\r\n\r\n" +
      body + "\r\n--b--\r\n";
  const StatusOr<DowngradePlan> plan = PlanDowngrade(raw, Carriage::k7BitLines);
  ASSERT_TRUE(plan.ok());
  const std::string whole = Downgraded(*plan, raw);
  const SourceReader read = [&raw](uint64_t offset, std::span<char> into) -> StatusOr<size_t> {
    // A source that gives less than it is asked for.
    const size_t n = std::min<size_t>({into.size(), raw.size() - offset, 100});
    raw.copy(into.data(), n, offset);
    return n;
  };
  for (const size_t step : {1u, 7u, 78u, 79u, 1000u, 100'000u}) {
    std::string out;
    std::string piece(step, '\0');
    while (true) {
      const StatusOr<size_t> got = ReadDowngraded(*plan, out.size(), piece, read);
      ASSERT_TRUE(got.ok());
      if (*got == 0) break;
      out.append(piece, 0, *got);
    }
    EXPECT_EQ(out, whole) << step;
  }
  const SourceReader nothing = [](uint64_t, std::span<char>) -> StatusOr<size_t> {
    return size_t{0};
  };
  std::array<char, 500> into;
  EXPECT_EQ(ReadDowngraded(*plan, 0, into, nothing).status().code(), StatusCode::kDataLoss);
}

}  // namespace
}  // namespace postern::message
