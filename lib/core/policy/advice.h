// What a configuration means that its operator may not have meant. A file can be right, word by
// word, and still relay for strangers or hold a rule that never takes a thing.
//
// Each finding has its place, a sentence, the edit that would mend it and one of these codes:
//   open-relay      a stranger's mail is sent on to anywhere                            (warning)
//   never-matches   a rule that no envelope can reach                                   (warning)
//   returned-mail   mail that comes back from a program is taken by an earlier rule     (warning)
//   unused          an action, table, filter, proc, wrapper, pki or ca that nothing uses (warning)
//   pattern         an address where a domain is wanted, or the other way round       (warning)
//   no-credentials  a relay's label that its `auth` table does not have               (warning)
//   no-smarthost    a key of a relay's `domain` that is never looked up               (warning)
//   tls-required    a relay that asks for TLS towards a host where it is turned off     (warning)
//   senders         a login may send under any address (senders any)                    (note)
//   dkim            what users send leaves unsigned                                     (note)
//   proxy           a port where strangers may say which address they come from         (note)
// No finding is made from a guess: the open relay is told with an envelope that the rules take.
#pragma once

#include <cstddef>

#include "lib/core/policy/diagnostic.h"
#include "lib/core/policy/ruleset.h"

namespace postern::policy {

struct AdviceLimits {
  // Pairs of rules that are compared, for rules that can never match; rules beyond the bound are
  // not judged. Rules for lists of domains are compared with those of the same domains alone, so
  // that it takes 7,000 rules of other kinds to get there.
  size_t max_rule_pairs = 25'000'000;
  // Entries of a table that are looked at one by one.
  size_t max_entries = 1000;
  // Rules that are asked about an envelope, all envelopes together: 10,000 rules that relay take
  // about 2 million to search for open relays, a second at most.
  size_t max_questions = 20'000'000;
  // … when a table may have to ask a program for each.
  size_t max_slow_questions = 2'000;
};

// FindOpenRelay tells of each rule by which a stranger's mail goes on to domains that nobody named:
// somebody without a login, from outside, by a listener that strangers reach. The rules are asked,
// so tables, negations, expressions and order count as they do for mail. What a client says of
// itself (EHLO, MAIL FROM) keeps nobody out. Blocks as much as the tables do.
Diagnostics FindOpenRelay(const Ruleset& ruleset, const AdviceLimits& limits = {});

// FindDeadRules tells of rules that can never match: an earlier rule takes all that they would, or
// what they ask for does not exist here (a tag that no listener has).
Diagnostics FindDeadRules(const Ruleset& ruleset, const AdviceLimits& limits = {});

// FindReturnedMail tells of a rule for the tag of a loopback listener (a content scanner hands mail
// back there) whose domain an earlier rule takes, because the scanner is a local client.
Diagnostics FindReturnedMail(const Ruleset& ruleset, const AdviceLimits& limits = {});

// FindUnused tells of what is declared and used by nothing.
Diagnostics FindUnused(const Config& config);

// FindSubmissionGaps tells, once for a file, that logins may send as anybody and that what they
// send is signed by nobody.
Diagnostics FindSubmissionGaps(const Ruleset& ruleset);

// FindRefusedRelays tells of relay actions that ask for TLS with a URL that turns it off: their
// mail would wait until it expires.
Diagnostics FindRefusedRelays(const Config& config);

// FindVainPatterns tells of lists in the file that compare something else than was meant: an
// address in `for domain`, what looks like a domain among the addresses of `mail-from` and
// `rcpt-to`.
Diagnostics FindVainPatterns(const Config& config, const AdviceLimits& limits = {});

// FindHeldMail tells of relay actions whose mail would wait until it expires: a label that is not
// in the `auth` table, where that answers without waiting, and a wildcard as a key of `domain`.
Diagnostics FindHeldMail(const Ruleset& ruleset, const AdviceLimits& limits = {});

// Advise gives all of it, sorted by place.
Diagnostics Advise(const Ruleset& ruleset, const AdviceLimits& limits = {});

// FindExposedProxies tells of listeners that believe a PROXY header from whoever reaches them over
// the network.
Diagnostics FindExposedProxies(const Config& config);

// IsLoopbackListener tells whether only this machine's own programs reach `listener`, by what is
// written: lo, lo0, localhost, a loopback address or the socket; and no proxy-v2, behind which is
// whoever the proxy serves.
bool IsLoopbackListener(const Listener& listener);

}  // namespace postern::policy
