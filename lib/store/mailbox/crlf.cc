#include "lib/store/mailbox/crlf.h"

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
  for (size_t lf = octets.find('\n'); lf != std::string_view::npos;
       lf = octets.find('\n', lf + 1)) {
    if (!(lf > 0 ? octets[lf - 1] == '\r' : after_cr_)) ++count;
  }
  if (!octets.empty()) after_cr_ = octets.back() == '\r';
  return count;
}

void LfDecoder::Append(std::string_view octets, std::string& out) {
  while (!octets.empty()) {
    if (octets.front() == '\r') {
      // Held until what follows is known.
      ++held_crs_;
      octets.remove_prefix(1);
      continue;
    }
    if (!(held_crs_ == 1 && octets.front() == '\n')) out.append(held_crs_, '\r');
    held_crs_ = 0;
    const std::string_view text = octets.substr(0, octets.find('\r'));
    out.append(text);
    octets.remove_prefix(text.size());
  }
}

void LfDecoder::Finish(std::string& out) {
  out.append(held_crs_, '\r');
  held_crs_ = 0;
}

std::string ToCrlf(std::string_view octets) {
  std::string out;
  out.reserve(octets.size() + octets.size() / 32);
  CrlfEncoder().Append(octets, out);
  return out;
}

}  // namespace postern::mailbox
