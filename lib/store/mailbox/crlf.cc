#include "lib/store/mailbox/crlf.h"

#include <algorithm>

namespace postern::mailbox {

void CrlfEncoder::Append(std::string_view octets, std::string& out) {
  while (!octets.empty()) {
    const size_t lf = octets.find('\n');
    if (lf == std::string_view::npos) {
      out.append(octets);
      after_cr_ = octets.back() == '\r';
      return;
    }
    out.append(octets.substr(0, lf));
    const bool has_cr = lf > 0 ? octets[lf - 1] == '\r' : after_cr_;
    out.append(has_cr ? "\n" : "\r\n");
    after_cr_ = false;
    octets.remove_prefix(lf + 1);
  }
}

uint64_t CrlfEncoder::Count(std::string_view octets) {
  uint64_t count = octets.size();
  for (size_t lf = octets.find('\n'); lf != std::string_view::npos; lf = octets.find('\n', lf + 1)) {
    if (!(lf > 0 ? octets[lf - 1] == '\r' : after_cr_)) ++count;
  }
  if (!octets.empty()) after_cr_ = octets.back() == '\r';
  return count;
}

void LfDecoder::Append(std::string_view octets, std::string& out) {
  if (octets.empty()) return;
  if (held_cr_ && octets.front() != '\n') out.push_back('\r');
  held_cr_ = false;
  while (!octets.empty()) {
    const size_t cr = octets.find('\r');
    out.append(octets.substr(0, cr));
    if (cr == std::string_view::npos) return;
    octets.remove_prefix(cr + 1);
    if (octets.empty()) {
      held_cr_ = true;
    } else if (octets.front() != '\n') {
      out.push_back('\r');
    }
  }
}

void LfDecoder::Finish(std::string& out) {
  if (held_cr_) out.push_back('\r');
  held_cr_ = false;
}

std::string ToCrlf(std::string_view octets) {
  std::string out;
  out.reserve(octets.size() + octets.size() / 32);
  CrlfEncoder().Append(octets, out);
  return out;
}

}  // namespace postern::mailbox
