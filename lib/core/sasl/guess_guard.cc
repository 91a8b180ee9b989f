#include "lib/core/sasl/guess_guard.h"

#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"

namespace postern::sasl {
namespace {

constexpr size_t kNetworkOctets = 8;  // of an IPv6 /64

std::string ShareOf(const IpAddress& address) {
  return std::string(address.is_v6() ? address.bytes().substr(0, kNetworkOctets) : address.bytes());
}

// AccountKey is the name in one case. A long one is cut: no account has it.
std::string AccountKey(std::string_view account) {
  constexpr size_t kMostKeyBytes = 128;
  return AsciiLower(account.substr(0, kMostKeyBytes));
}

std::string PairKey(std::string_view share, std::string_view account) {
  return StrCat(share, "\n", account);
}

}  // namespace

GuessGuard::Entry* GuessGuard::Kind::Find(std::string_view key) {
  const auto at = index.find(key);
  return at == index.end() ? nullptr : &*at->second;
}

GuessGuard::Entry& GuessGuard::Kind::Get(Instant now, std::string_view key, size_t max_entries) {
  if (const auto at = index.find(key); at != index.end()) {
    entries.splice(entries.begin(), entries, at->second);
    return entries.front();
  }
  while (!entries.empty() && entries.size() >= max_entries) {
    index.erase(entries.back().key);
    entries.pop_back();
  }
  entries.emplace_front();
  entries.front().key.assign(key);
  entries.front().seen = now;
  entries.front().next_stranger = now;
  index.emplace(entries.front().key, entries.begin());
  return entries.front();
}

void GuessGuard::Kind::Drop(std::string_view key) {
  const auto at = index.find(key);
  if (at == index.end()) return;
  const auto entry = at->second;
  index.erase(at);
  entries.erase(entry);
}

void GuessGuard::Leak(Entry& entry, Instant now, double limit) const {
  const double share = absl::FDivDuration(now - entry.seen, limits_.window);
  entry.failures = std::max(0.0, entry.failures - std::max(0.0, share) * limit);
  entry.seen = now;
}

Duration GuessGuard::DelayFor(double failures) const {
  Duration delay = absl::ZeroDuration();
  for (double over = failures - limits_.free_failures; over >= 1 && delay < limits_.most_delay;
       over -= 1) {
    delay = delay == absl::ZeroDuration() ? limits_.first_delay : delay * 2;
  }
  return std::min(delay, limits_.most_delay);
}

bool GuessGuard::Knows(Instant now, const std::string& pair) {
  const Entry* entry = known_.Find(pair);
  if (entry == nullptr) return false;
  if (now - entry->seen <= limits_.trust) return true;
  known_.Drop(pair);
  return false;
}

GuessGuard::Verdict GuessGuard::Begin(Instant now, const IpAddress& address, bool own,
                                      std::string_view account) {
  const std::string share = ShareOf(address);
  const std::string name = AccountKey(account);
  const std::string pair_key = PairKey(share, name);
  const bool known = Knows(now, pair_key);

  Entry& pair = pairs_.Get(now, pair_key, limits_.max_entries);
  Leak(pair, now, limits_.most_failures);
  if (pair.failures + 1 > limits_.most_failures)
    return {false, absl::ZeroDuration(), "too many failures of this address at this account"};
  if (known) {
    pair.failures += 1;
    return {true, DelayFor(pair.failures), {}};
  }

  Entry* source = own ? nullptr : &addresses_.Get(now, share, limits_.max_entries);
  if (source != nullptr) {
    Leak(*source, now, limits_.most_failures);
    if (source->failures + 1 > limits_.most_failures)
      return {false, absl::ZeroDuration(), "too many failures of this address"};
  }
  Entry& owner = accounts_.Get(now, name, limits_.max_entries);
  Leak(owner, now, limits_.most_account_failures);
  if (owner.failures + 1 > limits_.most_account_failures) {
    if (now < owner.next_stranger)
      return {false, absl::ZeroDuration(), "too many failures at this account"};
    owner.next_stranger = now + limits_.stranger_interval;
    // The count stays where it is: what is let through beyond it is paced.
    owner.failures -= 1;
  }
  pair.failures += 1;
  owner.failures += 1;
  if (source != nullptr) source->failures += 1;
  // The account's count does not slow the owner at a new place more than a guesser's first tries.
  const double worst = std::max(pair.failures, source == nullptr ? 0.0 : source->failures);
  const double of_account =
      owner.failures * limits_.most_failures / std::max(1.0, limits_.most_account_failures);
  return {true, DelayFor(std::max(worst, of_account)), {}};
}

void GuessGuard::TakeBack(Instant now, const IpAddress& address, bool own,
                          std::string_view account) {
  const std::string share = ShareOf(address);
  const std::string name = AccountKey(account);
  const std::string pair_key = PairKey(share, name);
  const auto less = [](Entry* entry) {
    if (entry != nullptr) entry->failures = std::max(0.0, entry->failures - 1);
  };
  less(pairs_.Find(pair_key));
  if (Knows(now, pair_key)) return;
  if (!own) less(addresses_.Find(share));
  less(accounts_.Find(name));
}

void GuessGuard::Succeeded(Instant now, const IpAddress& address, bool own,
                           std::string_view account) {
  TakeBack(now, address, own, account);
  const std::string pair_key = PairKey(ShareOf(address), AccountKey(account));
  pairs_.Drop(pair_key);
  known_.Get(now, pair_key, limits_.max_entries).seen = now;
}

void GuessGuard::Unjudged(Instant now, const IpAddress& address, bool own,
                          std::string_view account) {
  TakeBack(now, address, own, account);
}

size_t GuessGuard::size() const {
  return addresses_.entries.size() + accounts_.entries.size() + pairs_.entries.size() +
         known_.entries.size();
}

}  // namespace postern::sasl
