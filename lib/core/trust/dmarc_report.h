// DMARC aggregate reports (RFC 9990, and the older form of RFC 7489 appendix C): as values, written
// as XML, packed, mailed, and read from anybody.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/base/time.h"
#include "lib/core/message/parser.h"
#include "lib/core/trust/dmarc_check.h"

namespace postern::trust {

// Words of a report are kept as text in lower case, trimmed: reporters write what no schema has,
// and whoever reads a report wants to see it.

struct DmarcReportReason {
  std::string type;  // "local_policy", "mailing_list", "other", "policy_test_mode",
                     // "trusted_forwarder"; RFC 7489: also "forwarded", "sampled_out"
  std::string comment;
  friend auto operator<=>(const DmarcReportReason&, const DmarcReportReason&) = default;
};
struct DmarcReportDkim {
  std::string domain;
  std::string selector;
  std::string result;
  std::string human_result;
  friend auto operator<=>(const DmarcReportDkim&, const DmarcReportDkim&) = default;
};
struct DmarcReportSpf {
  std::string domain;
  std::string scope;  // "mfrom"; RFC 7489: also "helo"
  std::string result;
  std::string human_result;
  friend auto operator<=>(const DmarcReportSpf&, const DmarcReportSpf&) = default;
};

// DmarcReportRecord is one <record>: equal messages of one address, counted.
struct DmarcReportRecord {
  std::string source_ip;
  uint64_t count = 0;
  std::string disposition;  // "none", "pass", "quarantine", "reject"
  std::string dkim;         // "pass", "fail": aligned or not
  std::string spf;
  std::vector<DmarcReportReason> reasons;
  std::string header_from;
  std::optional<std::string> envelope_from;  // an empty one is the null reverse-path
  std::optional<std::string> envelope_to;
  std::vector<DmarcReportDkim> dkim_results;
  std::vector<DmarcReportSpf> spf_results;
  friend bool operator==(const DmarcReportRecord&, const DmarcReportRecord&) = default;

  // aligned: the message passed DMARC.
  bool aligned() const { return dkim == "pass" || spf == "pass"; }
};

struct DmarcReport {
  // Read: whether the root element has the name space of RFC 9990. Written: which form.
  bool rfc9990 = true;
  std::string version;  // of the element; empty: not given
  // <report_metadata>
  std::string org_name;
  std::string email;
  std::string extra_contact_info;
  std::string report_id;
  int64_t begin = 0;  // seconds since 1970, UTC
  int64_t end = 0;
  std::vector<std::string> errors;
  std::string generator;
  // <policy_published>
  std::string domain;
  std::string discovery_method;  // "treewalk", "psl"
  std::string p;
  std::string sp;
  std::string np;
  std::string adkim;
  std::string aspf;
  std::string fo;
  std::string testing;  // "y", "n"
  std::string pct;      // RFC 7489
  std::vector<DmarcReportRecord> records;

  // Read: what was odd, one sentence each.
  std::vector<std::string> problems;

  // message_count adds up the counts, all and those that passed.
  uint64_t message_count() const;
  uint64_t aligned_count() const;
};

// --- writing ---

// FormatDmarcReport writes the XML of RFC 9990 appendix A. What XML cannot have becomes U+FFFD.
std::string FormatDmarcReport(const DmarcReport& report);

// DmarcReportFileName is receiver!domain!begin!end[!unique].xml.gz (RFC 9990 §3.5.2). Of `receiver`
// and the policy domain only the characters of a domain stay, of `unique` letters and digits.
std::string DmarcReportFileName(const DmarcReport& report, std::string_view receiver,
                                std::string_view unique = {}, bool compressed = true);

// GzipCompress packs octets as one gzip member (RFC 1952) without time or name, so that equal
// reports are equal files.
std::string GzipCompress(std::string_view octets);

// DmarcReportMail is the message that carries a report.
struct DmarcReportMail {
  std::string receiver;         // our domain: "Submitter"
  std::string from;             // an address that passes DMARC itself
  std::vector<std::string> to;  // mailboxes of "rua"
  std::string message_id;       // with brackets
  std::string boundary_seed;    // random letters and digits, at least 16
  WallTime date;
  int offset_minutes = 0;
  std::string unique;  // of the file name; may be empty
  std::string text;    // the part for people; empty: one of ours
};
// BuildDmarcReportMail writes the message with the gzipped report, CRLF lines, ASCII (§3.5.2).
std::string BuildDmarcReportMail(const DmarcReport& report, const DmarcReportMail& mail);

// MakeDmarcReport begins a report for the policy that `check` found; records are added by
// DmarcReportCollector.
DmarcReport MakeDmarcReport(const DmarcCheck& check);

// DmarcReportCollector counts equal records together. Memory grows with the different ones, of
// which it takes `max_records`; of further ones only the messages are counted.
class DmarcReportCollector {
 public:
  explicit DmarcReportCollector(size_t max_records = 100'000) : max_records_(max_records) {}
  // Add counts `record.count` messages. Not thread-safe.
  void Add(DmarcReportRecord record);
  // Take gives the records in the order of their addresses and empties the collector; Records gives
  // the same and keeps them.
  std::vector<DmarcReportRecord> Take();
  std::vector<DmarcReportRecord> Records() const;
  uint64_t dropped() const { return dropped_; }

 private:
  size_t max_records_;
  uint64_t dropped_ = 0;
  std::map<std::string, DmarcReportRecord> records_;
};

// --- reading ---

// DmarcReportLimits bound what is read, because a report comes from anybody.
struct DmarcReportLimits {
  size_t max_xml_bytes = 64u << 20;  // of one report unpacked
  size_t max_depth = 32;             // of elements
  size_t max_records = 100'000;      // past it the report is refused
  size_t max_elements = 5'000'000;
  size_t max_results =
      200;  // DKIM, SPF results and reasons of one record, each; further ones are dropped
  size_t max_text_bytes = 8'192;  // of one element; the rest is dropped
  // One tag, comment or instruction. What has names in a tag is compared with the others in it, so
  // this bounds how dear a tag can be; tags of reports have some hundred octets.
  size_t max_markup_bytes = 64u << 10;
  // Attributes in all: no element of a report but its root needs any. The XML reader remembers each
  // name of them, and of elements, to its end; so these two bound its memory.
  size_t max_attributes = 100'000;
  size_t max_unknown_elements = 100'000;  // elements that no report has, of extensions too
  size_t max_problems = 100;              // listed
  // Of a mail or an archive:
  size_t max_files = 20;                // reports in it; further ones are passed over
  size_t max_total_bytes = 128u << 20;  // unpacked, all together
};

// ParseDmarcReport reads XML. Document types, and with them entities, are refused
// before anything of them is expanded; the only entities are XML's five and characters by number.
// Elements of other name spaces are passed over. A count, a date or an address that is none is an
// error, because what a report says would be wrong; what only is missing, or an unknown word, is a
// problem that the report lists. The error is kInvalidArgument with the line, or
// kResourceExhausted past a limit. Time is linear; memory is that of the report and some 40 MB at
// most beside it.
StatusOr<DmarcReport> ParseDmarcReport(std::string_view xml, const DmarcReportLimits& limits = {});

// ReportFile is one file out of a container.
struct ReportFile {
  std::string name;  // as the container says; may be empty
  std::string data;
};

// UnpackReportFile looks at the first octets: gzip (RFC 1952, several members) and zip archives
// are unpacked, anything else is taken as it is. Nothing is written past `limits`, whatever the
// archive promises.
StatusOr<std::vector<ReportFile>> UnpackReportFile(std::string_view octets, std::string_view name,
                                                   const DmarcReportLimits& limits = {});

// FindReportFiles unpacks the attachments of a mail that may be reports: parts of type gzip, zip or
// XML, or with such a file name. kNotFound when there is none.
StatusOr<std::vector<ReportFile>> FindReportFiles(const message::MessageView& message,
                                                  const DmarcReportLimits& limits = {});

// ReadDmarcReports reads the reports of a file of any kind: XML, gzip, zip, or a mail with them.
StatusOr<std::vector<DmarcReport>> ReadDmarcReports(std::string_view octets,
                                                    const DmarcReportLimits& limits = {});

// DescribeDmarcReport writes a report for people: lines of text with LF ends.
std::string DescribeDmarcReport(const DmarcReport& report, size_t max_records = 1'000);

}  // namespace postern::trust
