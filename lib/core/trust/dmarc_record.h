// DMARC records: the TXT record at _dmarc.DOMAIN, read and written (RFC 9989 §4.7, §4.8), with the
// tags that only RFC 7489 knew (pct, rf, ri), which are read and told but change nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::trust {

// DmarcPolicy is what a domain wishes for mail that fails (RFC 9989 §4.7, "p").
enum class DmarcPolicy : uint8_t { kNone, kQuarantine, kReject };
std::string_view DmarcPolicyName(DmarcPolicy policy);  // "none", "quarantine", "reject"

// DmarcAlignment is how like the author's domain an authenticated one must be (§4.4).
enum class DmarcAlignment : uint8_t { kRelaxed, kStrict };

// DmarcPsd is the "psd" tag: whether the domain is a public suffix (§4.7).
enum class DmarcPsd : uint8_t { kUnknown, kYes, kNo };

// DmarcUri is one address of "rua" or "ruf".
struct DmarcUri {
  std::string uri;         // as written, without the size of RFC 7489
  std::string mailbox;     // of a mailto: local-part@domain with percent octets decoded; else empty
  uint64_t max_bytes = 0;  // the "!10m" of RFC 7489 §6.4; 0 = none. RFC 9989 gives it no effect.

  // Host is the domain of the mailbox in lower case, or of the authority of another URI; "" when
  // there is none.
  std::string Host() const;
  friend bool operator==(const DmarcUri&, const DmarcUri&) = default;
};

// DmarcFailureOptions is the "fo" tag (§4.7).
struct DmarcFailureOptions {
  bool all = true;   // "0": report when nothing gave an aligned pass
  bool any = false;  // "1": report when anything gave less than an aligned pass
  bool dkim = false;
  bool spf = false;
  friend bool operator==(const DmarcFailureOptions&, const DmarcFailureOptions&) = default;
};

// DmarcProblem is something in a record that was passed over or is worth telling its owner.
struct DmarcProblem {
  std::string tag;          // "" when it is about the record
  std::string reason;       // machine word: "unknown_tag", "bad_value", "repeated_tag", ...
  std::string explanation;  // for people
  // Only a remark: the tag is well formed but has no effect any more.
  bool harmless = false;
};

// DmarcRecordLimits bound one record.
struct DmarcRecordLimits {
  size_t max_bytes = 65'535;  // the data of one TXT record cannot be longer (RFC 1035 §3.3.14)
  size_t max_tags = 100;      // further ones are passed over
  size_t max_uris = 100;      // of each list; further ones are passed over
  size_t max_problems = 100;  // listed; the first ones
};

// DmarcRecord is a record as published. Values that are missing or not valid have the default of
// the RFC.
struct DmarcRecord {
  std::optional<DmarcPolicy> p;
  std::optional<DmarcPolicy> sp;
  std::optional<DmarcPolicy> np;
  DmarcAlignment adkim = DmarcAlignment::kRelaxed;
  DmarcAlignment aspf = DmarcAlignment::kRelaxed;
  DmarcPsd psd = DmarcPsd::kUnknown;
  bool testing = false;  // t=y
  DmarcFailureOptions fo;
  std::vector<DmarcUri> rua;
  std::vector<DmarcUri> ruf;
  // Of RFC 7489, without effect: 0..100; seconds; words ("afrf").
  std::optional<unsigned> pct;
  std::optional<uint32_t> ri;
  std::vector<std::string> rf;

  // "p" is missing or not valid, or "sp" or "np" is not valid: all three count as "none"
  // when somebody wants reports, and without reports the record counts as absent (§4.10.1).
  bool policy_broken = false;
  std::vector<DmarcProblem> problems;

  // usable: DMARC applies to mail of the domain by this record (§4.10.1).
  bool usable() const { return !policy_broken || !rua.empty(); }

  // PolicyFor gives the wish for mail of the domain itself, of a name below it that exists, and of
  // one that does not (§4.10.1), and in `*tag` ("p", "sp", "np"; may be null) where it stands.
  enum class Whose : uint8_t { kItself, kSubdomain, kMissingSubdomain };
  DmarcPolicy PolicyFor(Whose whose, std::string_view* tag = nullptr) const;
};

// IsDmarcRecord tells whether a TXT text is a DMARC record at all: its first tag is v=DMARC1, in
// just that case (§4.7 "v"). Others are no matter of DMARC.
bool IsDmarcRecord(std::string_view text);

// ParseDmarcRecord reads the joined strings of one TXT record. Nothing but a missing version makes
// it fail: syntax errors in the rest are passed over and stand in `problems` (§4.7). Linear time.
std::optional<DmarcRecord> ParseDmarcRecord(std::string_view text,
                                            const DmarcRecordLimits& limits = {});

// FormatDmarcRecord writes a record with the tags that differ from their defaults;
// ParseDmarcRecord gives the same values back. pct, ri and rf are written when they are set.
std::string FormatDmarcRecord(const DmarcRecord& record);

// ParseDmarcUri reads one URI of a list, with the size of RFC 7489; nullopt when it is not an
// absolute URI of RFC 3986 with a path, or a mailto: without a mailbox.
std::optional<DmarcUri> ParseDmarcUri(std::string_view text);

}  // namespace postern::trust
