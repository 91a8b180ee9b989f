// GuessGuard slows down and then refuses who guesses passwords, by address and by account, without
// locking out the owner of an account: who logged in from an address lately is known there, and
// what others do elsewhere is not held against them.
//
// Theory of operation. Three things collect wrong logins: the address, the account, and the two
// together. A count leaks away evenly, its whole limit in `window`. An attempt counts when it
// begins and is taken back when it succeeds, so that a thousand attempts at once gain nothing.
//
//   - up to `free_failures` of any count cost nothing; then each attempt waits, twice as long each
//     time, up to `most_delay`;
//   - at `most_failures` of the address, or of the two together, the attempt is refused unseen,
//     which does not count for the account: one address cannot use up an account's patience;
//   - at `most_account_failures` of the account, those who are not known at their address may try
//     once every `stranger_interval` among them all. A net of bots gets no further, and the owner
//     at a new place still gets in, when the bots pause;
//   - who is known (a login at that address within `trust`) is judged by the count of the two
//     together alone.
//
// Unknown names are counted like known ones. An address is an IPv4 address or the /64 of an IPv6
// one; this machine's own is given as own, and is only counted together with the account: behind it
// may be a webmail with all its users.
//
// Memory is bounded by `max_entries` of each kind; the one that was seen longest ago goes first.
// Who is known is kept apart, so that nobody who knows no password can push them out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/time.h"

namespace postern::sasl {

struct GuessLimits {
  double free_failures = 3;   // a person mistypes
  double most_failures = 20;  // of an address, and of an address with an account
  double most_account_failures = 100;
  Duration window = absl::Hours(1);
  Duration first_delay = absl::Milliseconds(500);
  Duration most_delay = absl::Seconds(8);
  Duration stranger_interval = absl::Seconds(10);
  Duration trust = absl::Hours(24 * 30);
  size_t max_entries = 20'000;  // about 100 octets each
};

class GuessGuard {
 public:
  explicit GuessGuard(GuessLimits limits) : limits_(limits) {}
  // SetLimits changes them for the attempts from now on.
  void SetLimits(const GuessLimits& limits) { limits_ = limits; }

  struct Verdict {
    bool allowed = true;
    Duration delay = absl::ZeroDuration();  // to wait before the password is looked at
    std::string_view reason;                // when refused
  };
  // Begin counts an attempt and says what becomes of it. `account` is the name as it was given; its
  // case does not matter. `own`: the address is this machine's.
  Verdict Begin(Instant now, const IpAddress& address, bool own, std::string_view account);
  // Succeeded takes an attempt back that ended in a login, with what was held against the address
  // at this account, and knows them from now on. A failure needs no word.
  void Succeeded(Instant now, const IpAddress& address, bool own, std::string_view account);
  // Unjudged takes an attempt back that ended in neither (a table that is away).
  void Unjudged(Instant now, const IpAddress& address, bool own, std::string_view account);

  // size is how many entries are kept.
  size_t size() const;

 private:
  struct Entry {
    std::string key;
    double failures = 0;
    Instant seen;
    Instant next_stranger;  // of accounts
  };
  // Kind is a bounded table of entries, those seen last in front.
  struct Kind {
    std::list<Entry> entries;
    std::unordered_map<std::string_view, std::list<Entry>::iterator> index;

    Entry* Find(std::string_view key);
    Entry& Get(Instant now, std::string_view key, size_t max_entries);
    void Drop(std::string_view key);
  };

  void Leak(Entry& entry, Instant now, double limit) const;
  Duration DelayFor(double failures) const;
  bool Knows(Instant now, const std::string& pair);
  void TakeBack(Instant now, const IpAddress& address, bool own, std::string_view account);

  GuessLimits limits_;
  Kind addresses_;
  Kind accounts_;
  Kind pairs_;
  Kind known_;  // pairs; `seen` is the last login
};

}  // namespace postern::sasl
