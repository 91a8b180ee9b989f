// Line ends: files of a Maildir have LF, as every other program writes them; IMAP and SMTP have
// CRLF. A lone CR is kept either way. What comes back is what went in, except that a bare LF has
// become CRLF.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace postern::mailbox {

// CrlfEncoder turns LF or CRLF into CRLF, piece by piece.
class CrlfEncoder {
 public:
  // Append adds the canonical form of `octets` to `out`.
  void Append(std::string_view octets, std::string& out);
  // Count is Append without the result: the number of octets it would add.
  uint64_t Count(std::string_view octets);
  void Reset() { after_cr_ = false; }
  // after_cr tells whether the last octet so far was CR; set_after_cr restores that when reading
  // resumes in the middle.
  bool after_cr() const { return after_cr_; }
  void set_after_cr(bool value) { after_cr_ = value; }

 private:
  bool after_cr_ = false;
};

// LfDecoder turns CRLF into LF, piece by piece, except after another CR: CR CR LF stays, so that
// CrlfEncoder gives it back. Finish gives the CRs that were held back at the end.
class LfDecoder {
 public:
  void Append(std::string_view octets, std::string& out);
  void Finish(std::string& out);

 private:
  uint64_t held_crs_ = 0;
};

std::string ToCrlf(std::string_view octets);

}  // namespace postern::mailbox
