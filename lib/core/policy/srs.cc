#include "lib/core/policy/srs.h"

#include <array>

#include <openssl/sha.h>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"

namespace postern::policy {
namespace {

constexpr std::string_view kBase32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
constexpr int64_t kDays = 1024;  // after which the number of the day begins anew
constexpr size_t kHashChars = 4;
constexpr std::string_view kSrs0 = "SRS0=";
constexpr std::string_view kSrs1 = "SRS1=";

std::string HashOf(const std::string& key, std::string_view text) {
  const std::string keyed = StrCat(key, text);
  std::array<uint8_t, SHA_DIGEST_LENGTH> digest;
  SHA1(reinterpret_cast<const uint8_t*>(keyed.data()), keyed.size(), digest.data());
  return mail::Base64Encode(std::string_view(reinterpret_cast<const char*>(digest.data()), 3));
}

bool IsSeparator(char c) { return c == '=' || c == '+' || c == '-'; }

// AddressOf puts an address together; the local part is as it is without quotes. nullopt when that
// is no address, with the quotes that it needs.
std::optional<mail::Address> AddressOf(std::string_view local_part, std::string_view domain) {
  const mail::Address plain{std::string(local_part), std::string(domain)};
  StatusOr<mail::Address> address = mail::ParseAddress(plain.ToString());
  if (!address.ok() || address->domain.empty()) return std::nullopt;
  return *std::move(address);
}

// Made is `prefix`, the hash and `rest` at `domain`, as an address; nullopt when it is none.
std::optional<mail::Address> Made(const SrsSettings& settings, std::string_view prefix,
                                  const std::string& rest, const std::string& domain) {
  const std::string hash = HashOf(settings.key, StrCat(rest, "@", domain));
  return AddressOf(StrCat(prefix, hash, "=", rest), domain);
}

// TakeHash returns what follows the hash in `text`, when that is of one of our keys.
std::optional<std::string_view> TakeHash(const SrsSettings& settings, std::string_view text) {
  if (text.size() <= kHashChars || !IsSeparator(text[kHashChars])) return std::nullopt;
  const std::string_view hash = text.substr(0, kHashChars);
  const std::string_view rest = text.substr(kHashChars + 1);
  if (hash == HashOf(settings.key, rest)) return rest;
  if (!settings.backup_key.empty() && hash == HashOf(settings.backup_key, rest)) return rest;
  return std::nullopt;
}

// TakeDay returns what follows the day in `text`, when that is one on which we still take bounces.
std::optional<std::string_view> TakeDay(const SrsSettings& settings, std::string_view text,
                                        int64_t today) {
  if (text.size() < 3 || !IsSeparator(text[2])) return std::nullopt;
  const size_t high = kBase32.find(text[0]);
  const size_t low = kBase32.find(text[1]);
  if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
  const int64_t day = static_cast<int64_t>(high * 32 + low);
  const int64_t age = ((today - day) % kDays + kDays) % kDays;
  // A clock may be ahead of ours: tomorrow's addresses are good, too.
  if (age > settings.ttl_days && age != kDays - 1) return std::nullopt;
  return text.substr(3);
}

}  // namespace

bool IsSrs(const mail::Address& address) {
  return StartsWithIgnoreCase(address.local_part, kSrs0) ||
         StartsWithIgnoreCase(address.local_part, kSrs1);
}

mail::Address EncodeSrs(const SrsSettings& settings, const mail::Address& sender,
                        const std::string& domain, int64_t day) {
  if (sender.empty() || sender.domain.empty() || settings.key.empty()) return sender;
  std::optional<mail::Address> made;
  if (StartsWithIgnoreCase(sender.local_part, kSrs1)) {
    // Its first hop stays; the hash of the one before us is no use to anybody.
    const std::string_view rest = std::string_view(sender.local_part).substr(kSrs1.size());
    if (rest.size() > kHashChars && IsSeparator(rest[kHashChars]))
      made = Made(settings, kSrs1, std::string(rest.substr(kHashChars + 1)), domain);
  } else if (StartsWithIgnoreCase(sender.local_part, kSrs0)) {
    const std::string_view rest = std::string_view(sender.local_part).substr(kSrs0.size());
    made = Made(settings, kSrs1, StrCat(sender.domain, "==", rest), domain);
  } else {
    const size_t stamp = static_cast<size_t>((day % kDays + kDays) % kDays);
    made = Made(settings, kSrs0,
                StrCat(kBase32[stamp / 32], kBase32[stamp % 32], "=", sender.domain, "=",
                       sender.local_part),
                domain);
  }
  return made.has_value() ? *std::move(made) : sender;
}

std::optional<mail::Address> DecodeSrs(const SrsSettings& settings, const mail::Address& address,
                                       int64_t day) {
  if (settings.key.empty() || !IsSrs(address)) return std::nullopt;
  const bool by_another = StartsWithIgnoreCase(address.local_part, kSrs1);
  const std::string text = StrCat(address.local_part.substr(kSrs0.size()), "@", address.domain);
  const std::optional<std::string_view> signed_part = TakeHash(settings, text);
  if (!signed_part.has_value()) return std::nullopt;
  if (!by_another) {
    const std::optional<std::string_view> rest = TakeDay(settings, *signed_part, day);
    if (!rest.has_value()) return std::nullopt;
    const std::string_view local = rest->substr(0, rest->rfind('@'));
    const size_t split = local.find('=');
    if (split == std::string_view::npos) return std::nullopt;
    return AddressOf(local.substr(split + 1), local.substr(0, split));
  }
  // first==hhhh=TT=...: the hash is the first hop's own affair, the day is ours to judge, too.
  const std::string_view local = signed_part->substr(0, signed_part->rfind('@'));
  const size_t split = local.find('=');
  if (split == std::string_view::npos) return std::nullopt;
  const std::string_view srs0 = local.substr(split + 1);
  if (srs0.size() <= kHashChars + 2 || !IsSeparator(srs0[0])) return std::nullopt;
  if (!TakeDay(settings, srs0.substr(kHashChars + 2), day).has_value()) return std::nullopt;
  return AddressOf(StrCat("SRS0", srs0), local.substr(0, split));
}

}  // namespace postern::policy
