// Encoded words of RFC 2047 (with the language of RFC 2231 §5).
#pragma once

#include <string>
#include <string_view>

namespace postern::message {

// EncodedWordDefects tells what DecodeText could not read.
struct EncodedWordDefects {
  bool malformed = false;  // a word that is not closed, of an encoding other than B and Q, or whose
                           // text does not decode whole
  bool unknown_charset = false;
};

// DecodeText makes UTF-8 of an unstructured header value: unfolds it, decodes encoded words, joins
// adjacent ones (RFC 2047 §6.2; a character split over two words of one charset is put together
// again), and takes raw 8-bit text for UTF-8 or else for windows-1252. What is not a correct
// encoded word stays as it is. Beyond the RFC, because mail has it: words that touch other text,
// blanks inside quoted-printable words, words longer than 75 characters, missing base64 padding.
// `defects` may be null.
std::string DecodeText(std::string_view value, EncodedWordDefects* defects = nullptr);

// Where an encoded word will stand decides which characters it may have (RFC 2047 §5).
enum class WordContext : unsigned char { kText, kPhrase };

// EncodeText writes UTF-8 `text` for a header: as it is when it is printable ASCII that cannot be
// taken for an encoded word, otherwise as encoded words of UTF-8, "Q" or "B" by which is shorter,
// each at most 75 characters and no character split, with a blank between them. A phrase that stays
// plain is quoted when it must be (RFC 5322 §3.2.4). Line ends in `text` become blanks. `column` is
// how many characters stand on the line before the first word, which is made as much shorter, so
// that the line has at most 76 (RFC 2047 §2). With `always` ASCII is encoded too.
std::string EncodeText(std::string_view text, WordContext context = WordContext::kText,
                       size_t column = 1, bool always = false);

}  // namespace postern::message
