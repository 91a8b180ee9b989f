// DMARC (RFC 9989): whether the author's domain stands behind a message, and what it wishes for
// mail that it does not stand behind.
//
// It is given what SPF and DKIM found, asks the DNS for the policy, and gives a result, a machine
// reason and a sentence. Everything is pure: questions go through dns::Inquiry.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/dns/inquiry.h"
#include "lib/core/message/parser.h"
#include "lib/core/trust/dmarc_record.h"
#include "lib/core/trust/public_suffix.h"

namespace postern::trust {

// DmarcResult has the words that Authentication-Results has for "dmarc" (RFC 9989 §9).
enum class DmarcResult : uint8_t { kNone, kPass, kFail, kTempError, kPermError };
std::string_view DmarcResultName(DmarcResult result);

// DmarcMethod is how organisational domains are found.
enum class DmarcMethod : uint8_t {
  kTreeWalk,          // RFC 9989 §4.10
  kPublicSuffixList,  // RFC 7489 §3.2
};

// DmarcOptions are the bounds and choices of one check.
struct DmarcOptions {
  DmarcMethod method = DmarcMethod::kTreeWalk;
  // For kPublicSuffixList; without a list the tree is walked. Lent.
  const PublicSuffixList* suffixes = nullptr;
  // How many questions one walk may ask (RFC 9989 §4.10); at least 2.
  size_t max_walk_queries = 8;
  // How many different authenticated domains are compared; the rest is passed over. With the same
  // bound for all walks together it holds the questions of a message with many signatures.
  size_t max_identities = 50;
  // How many questions all walks of one check may ask, those answered before not counted.
  size_t max_queries = 60;
  DmarcRecordLimits record;
};

// --- the author's domain ---

// DmarcAuthor is the domain of RFC5322.From (RFC 9989 §5.3.1): A-labels, lower case. Without one,
// `reason` says why: "from_missing", "from_repeated", "from_without_domain",
// "from_several_domains", "from_bad_domain", "from_literal".
struct DmarcAuthor {
  std::string domain;
  std::string reason;
  std::string explanation;
  bool broken = false;  // the message offends RFC 5322 §3.6 here: no From, or several
  bool ok() const { return !domain.empty(); }
};
// FindDmarcAuthor reads it from a parsed header. Several addresses, in one field or in several,
// count as one when they have one domain.
DmarcAuthor FindDmarcAuthor(const message::MessageView& message);
// DmarcAuthorOf reads the values of From fields.
DmarcAuthor DmarcAuthorOf(const std::vector<std::string_view>& from_values);

// --- records ---

// DmarcFound is a record on the way.
struct DmarcFound {
  std::string domain;
  std::string text;
  DmarcRecord record;
};
// DmarcStep is one question of a walk, for people.
struct DmarcStep {
  std::string name;     // "_dmarc.example.com"
  std::string outcome;  // "record", "none", "several", "timeout", …
};

// DmarcDiscovery is all that the DNS says about one domain.
struct DmarcDiscovery {
  std::string domain;
  std::string organizational_domain;
  std::vector<DmarcFound> found;  // from the longest name to the shortest
  std::vector<DmarcStep> steps;
  bool temporary = false;  // a question was not answered: the rest may be wrong
  std::string detail;
  size_t queries = 0;

  // policy is the record that applies to mail of the domain (§4.10.1): its own, that of its
  // organisational domain, or that of the public suffix above; null when there is none.
  const DmarcFound* policy() const;
};

// DiscoverDmarc asks for all of it. `domain` is a name with A-labels.
dns::Inquiry<DmarcDiscovery> DiscoverDmarc(std::string domain, DmarcOptions options = {});

// DomainExists asks whether a name has A, AAAA or MX records (a "non-existent domain"
// of RFC 9989 §3 has none); a temporary failure counts as existing.
dns::Inquiry<bool> DomainExists(std::string domain);

// --- the check ---

// DmarcIdentity is one authenticated domain: of an SPF pass for MAIL FROM, or of a DKIM
// pass ("d="). One whose check failed for now is told too, because it keeps a result open.
struct DmarcIdentity {
  std::string domain;
  bool temporary_failure = false;
};

struct DmarcInput {
  DmarcAuthor author;
  std::optional<DmarcIdentity> spf;
  std::vector<DmarcIdentity> dkim;
};

struct DmarcCheck {
  DmarcResult result = DmarcResult::kNone;
  std::string reason;       // "aligned_dkim", "aligned_spf", "no_record", "not_aligned", …
  std::string explanation;  // a sentence

  std::string author_domain;
  std::string organizational_domain;
  std::string policy_domain;  // where the record is; empty without one
  std::string record_text;
  std::optional<DmarcRecord> record;
  DmarcMethod method = DmarcMethod::kTreeWalk;

  DmarcPolicy policy = DmarcPolicy::kNone;  // what the domain wishes for mail that fails
  std::string policy_tag;                   // "p", "sp" or "np"
  bool testing = false;                     // t=y
  // What to do by the record: kNone unless the result is a fail and nothing is being tested. The
  // receiver's own rules come on top (§5.4).
  DmarcPolicy disposition = DmarcPolicy::kNone;

  bool spf_aligned = false;
  bool dkim_aligned = false;
  std::string spf_domain;   // that was aligned
  std::string dkim_domain;  // the first that was aligned
  size_t queries = 0;
};

// CheckDmarc runs it all (§5.3.2).
dns::Inquiry<DmarcCheck> CheckDmarc(DmarcInput input, DmarcOptions options = {});

// --- where reports may go ---

// DmarcDestination tells whether a report about `policy_domain` may be sent to a URI (RFC 9990 §4,
// RFC 9991 §5).
struct DmarcDestination {
  bool allowed = false;
  bool external = false;  // its organisational domain is another one: it was asked
  bool temporary = false;
  std::string reason;       // "same_organization", "authorized", "not_authorized", …
  std::string explanation;  // a sentence
  // What the destination wants instead, with the same host; empty: the URI as it is.
  std::vector<DmarcUri> instead;
};
// VerifyDmarcDestination asks. `failure_reports`: "ruf" of the answer counts instead of "rua".
dns::Inquiry<DmarcDestination> VerifyDmarcDestination(std::string policy_domain, DmarcUri uri,
                                                      bool failure_reports = false,
                                                      DmarcOptions options = {});

}  // namespace postern::trust
