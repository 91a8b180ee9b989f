// Reading the XML of aggregate reports, with expat.
#include <algorithm>
#include <array>
#include <cstring>
#include <expat.h>
#include <memory>

#include "lib/core/base/strings.h"
#include "lib/core/trust/dmarc_report.h"

namespace postern::trust {
namespace {

constexpr std::string_view kNamespace = "urn:ietf:params:xml:ns:dmarc-2.0";

std::string_view LocalName(std::string_view name, std::string_view* prefix) {
  const size_t colon = name.rfind(':');
  *prefix = colon == std::string_view::npos ? std::string_view() : name.substr(0, colon);
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

// Number reads digits; reporters write "1337270400.0" too.
std::optional<uint64_t> Number(std::string_view text) {
  text = Trim(text);
  const size_t dot = text.find('.');
  if (dot != std::string_view::npos &&
      text.find_first_not_of('0', dot + 1) != std::string_view::npos)
    return std::nullopt;
  return ParseUint(text.substr(0, dot), INT64_MAX);
}

// IsReportElement tells whether any form of a report has elements of that name.
bool IsReportElement(std::string_view name) {
  static constexpr auto kNames = std::to_array<std::string_view>({"adkim",
                                                                  "aspf",
                                                                  "auth_results",
                                                                  "begin",
                                                                  "comment",
                                                                  "count",
                                                                  "date_range",
                                                                  "discovery_method",
                                                                  "disposition",
                                                                  "dkim",
                                                                  "domain",
                                                                  "email",
                                                                  "end",
                                                                  "envelope_from",
                                                                  "envelope_to",
                                                                  "error",
                                                                  "extension",
                                                                  "extra_contact_info",
                                                                  "feedback",
                                                                  "fo",
                                                                  "generator",
                                                                  "header_from",
                                                                  "human_result",
                                                                  "identifiers",
                                                                  "identities",
                                                                  "np",
                                                                  "org_name",
                                                                  "p",
                                                                  "pct",
                                                                  "policy_evaluated",
                                                                  "policy_published",
                                                                  "reason",
                                                                  "record",
                                                                  "report_id",
                                                                  "report_metadata",
                                                                  "result",
                                                                  "row",
                                                                  "scope",
                                                                  "selector",
                                                                  "source_ip",
                                                                  "sp",
                                                                  "spf",
                                                                  "testing",
                                                                  "type",
                                                                  "version"});
  static_assert(std::is_sorted(kNames.begin(), kNames.end()));
  return std::binary_search(kNames.begin(), kNames.end(), name);
}

// ReportReader is told of elements by expat and fills a report. It throws nothing into expat: what
// goes wrong stops the parser.
class ReportReader {
 public:
  ReportReader(const DmarcReportLimits& limits, XML_Parser parser)
      : limits_(limits), parser_(parser) {}

  void Start(const char* raw_name, const char** attributes) {
    if (++elements_ > limits_.max_elements)
      return Stop(ResourceExhausted(
          StrCat("the report has more than ", limits_.max_elements, " elements")));
    for (size_t i = 0; attributes[i] != nullptr; i += 2) ++attributes_;
    if (attributes_ > limits_.max_attributes)
      return Stop(ResourceExhausted(
          StrCat("the report has more than ", limits_.max_attributes, " attributes")));
    if (++depth_ > limits_.max_depth)
      return Stop(ResourceExhausted(
          StrCat("elements stand deeper than ", limits_.max_depth, " in one another")));
    text_.clear();
    std::string_view prefix;
    const std::string_view name = LocalName(raw_name, &prefix);
    const bool in_place = root_depth_ == 0 ? name == "feedback" && !finished_
                                           : prefix.empty() || prefix == root_prefix_;
    const bool known = skip_depth_ == 0 && in_place && IsReportElement(name);
    if (!known && ++unknown_elements_ > limits_.max_unknown_elements)
      return Stop(
          ResourceExhausted(StrCat("the report has more than ", limits_.max_unknown_elements,
                                   " elements that no report needs")));
    if (skip_depth_ != 0) return;
    if (root_depth_ == 0) {
      // Whatever stands around <feedback> is no matter of ours; mail has <schema> there.
      if (name != "feedback" || finished_) return;
      root_depth_ = depth_;
      root_prefix_ = std::string(prefix);
      for (; attributes[0] != nullptr; attributes += 2)
        if (std::string_view(attributes[1]) == kNamespace) report_.rfc9990 = true;
      return;
    }
    // Another name space than that of the root: an extension (RFC 9990 §3.1.1.13).
    if ((!prefix.empty() && prefix != root_prefix_) || name == "extension") {
      skip_depth_ = depth_;
      return;
    }
    path_.push_back(std::string(name.substr(0, 64)));
    if (Is("record")) {
      if (report_.records.size() >= limits_.max_records)
        return Stop(ResourceExhausted(
            StrCat("the report has more than ", limits_.max_records, " records")));
      report_.records.emplace_back();
    } else if (!report_.records.empty()) {
      DmarcReportRecord& record = report_.records.back();
      if (Is("record/row/policy_evaluated/reason")) Grow(record.reasons);
      if (Is("record/auth_results/dkim")) Grow(record.dkim_results);
      if (Is("record/auth_results/spf")) Grow(record.spf_results);
    }
  }

  void End() {
    if (skip_depth_ != 0) {
      if (depth_-- == skip_depth_) skip_depth_ = 0;
      text_.clear();
      return;
    }
    if (root_depth_ != 0 && depth_ == root_depth_) {
      root_depth_ = 0;
      finished_ = true;
    } else if (!path_.empty()) {
      Value(Trim(text_));
      path_.pop_back();
    }
    --depth_;
    text_.clear();
  }

  void Text(std::string_view text) {
    if (path_.empty() || skip_depth_ != 0) return;
    const size_t room = limits_.max_text_bytes - std::min(text_.size(), limits_.max_text_bytes);
    if (text.size() > room) {
      Problem(StrCat("<", path_.back(), "> is longer than ", limits_.max_text_bytes,
                     " octets; its end is dropped"));
      text = text.substr(0, room);
    }
    text_.append(text);
  }

  void Stop(Status why) {
    if (status_.ok()) status_ = std::move(why);
    XML_StopParser(parser_, XML_FALSE);
  }

  bool finished() const { return finished_; }
  const Status& status() const { return status_; }
  DmarcReport Take() { return std::move(report_); }
  void Problem(std::string text) {
    if (report_.problems.size() < limits_.max_problems) report_.problems.push_back(std::move(text));
  }
  void Forget9990() { report_.rfc9990 = false; }

 private:
  template <typename T>
  void Grow(std::vector<T>& list) {
    drop_ = list.size() >= limits_.max_results;
    if (!drop_) list.emplace_back();
  }

  // Is compares the path below <feedback>.
  bool Is(std::string_view path) const {
    size_t at = 0;
    for (const std::string& name : path_) {
      if (at > path.size() || path.substr(at, name.size()) != name) return false;
      at += name.size();
      if (at < path.size()) {
        if (path[at] != '/') return false;
      }
      ++at;
    }
    return at == path.size() + 1;
  }

  void Value(std::string_view text) {
    if (path_.size() < 2) {
      if (path_.size() == 1 && path_[0] == "version") report_.version = std::string(text);
      return;
    }
    const std::string& name = path_.back();
    if (path_[0] == "report_metadata") return Metadata(name, text);
    if (path_[0] == "policy_published" && path_.size() == 2) return Policy(name, text);
    if (path_[0] == "record" && !report_.records.empty())
      return Record(name, text, report_.records.back());
  }

  void Metadata(const std::string& name, std::string_view text) {
    if (path_.size() == 3 && path_[1] == "date_range") {
      const std::optional<uint64_t> number = Number(text);
      if (!number)
        return Stop(InvalidArgument(
            StrCat("<", name, "> of the date range is \"", Escape(text, 40), "\", no number")));
      if (name == "begin") report_.begin = static_cast<int64_t>(*number);
      if (name == "end") report_.end = static_cast<int64_t>(*number);
      return;
    }
    if (path_.size() != 2) return;
    if (name == "org_name")
      report_.org_name = std::string(text);
    else if (name == "email")
      report_.email = std::string(text);
    else if (name == "extra_contact_info")
      report_.extra_contact_info = std::string(text);
    else if (name == "report_id")
      report_.report_id = std::string(text);
    else if (name == "generator")
      report_.generator = std::string(text);
    else if (name == "error" && report_.errors.size() < limits_.max_problems)
      report_.errors.emplace_back(text);
  }

  void Policy(const std::string& name, std::string_view text) {
    const std::array<std::pair<std::string_view, std::string*>, 10> fields = {{
        {"domain", &report_.domain},
        {"discovery_method", &report_.discovery_method},
        {"p", &report_.p},
        {"sp", &report_.sp},
        {"np", &report_.np},
        {"adkim", &report_.adkim},
        {"aspf", &report_.aspf},
        {"fo", &report_.fo},
        {"testing", &report_.testing},
        {"pct", &report_.pct},
    }};
    for (const auto& [field, slot] : fields)
      if (name == field) *slot = AsciiLower(text);
  }

  void Record(const std::string& name, std::string_view text, DmarcReportRecord& record) {
    const std::string_view section = path_[1];
    if (section == "row" && path_.size() == 3) {
      if (name == "source_ip") {
        record.source_ip = std::string(text);
        if (!IpAddress::Parse(text))
          return Stop(
              InvalidArgument(StrCat("<source_ip> is \"", Escape(text, 60), "\", no IP address")));
      } else if (name == "count") {
        const std::optional<uint64_t> number = Number(text);
        if (!number)
          return Stop(InvalidArgument(StrCat("<count> is \"", Escape(text, 40), "\", no number")));
        record.count = *number;
      }
    } else if (section == "row" && path_.size() == 4 && path_[2] == "policy_evaluated") {
      if (name == "disposition")
        record.disposition = AsciiLower(text);
      else if (name == "dkim")
        record.dkim = AsciiLower(text);
      else if (name == "spf")
        record.spf = AsciiLower(text);
      else if (name == "reason" && !drop_ && !record.reasons.empty() &&
               record.reasons.back() == DmarcReportReason{})
        record.reasons.pop_back();  // an empty element says nothing
    } else if (section == "row" && path_.size() == 5 && path_[3] == "reason" && !drop_ &&
               !record.reasons.empty()) {
      if (name == "type") record.reasons.back().type = AsciiLower(text);
      if (name == "comment") record.reasons.back().comment = std::string(text);
    } else if ((section == "identifiers" || section == "identities") && path_.size() == 3) {
      if (name == "header_from")
        record.header_from = AsciiLower(text);
      else if (name == "envelope_from")
        record.envelope_from = std::string(text);
      else if (name == "envelope_to")
        record.envelope_to = std::string(text);
    } else if (section == "auth_results" && path_.size() == 4 && !drop_) {
      if (path_[2] == "dkim" && !record.dkim_results.empty()) {
        DmarcReportDkim& dkim = record.dkim_results.back();
        if (name == "domain")
          dkim.domain = AsciiLower(text);
        else if (name == "selector")
          dkim.selector = std::string(text);
        else if (name == "result")
          dkim.result = AsciiLower(text);
        else if (name == "human_result")
          dkim.human_result = std::string(text);
      } else if (path_[2] == "spf" && !record.spf_results.empty()) {
        DmarcReportSpf& spf = record.spf_results.back();
        if (name == "domain")
          spf.domain = AsciiLower(text);
        else if (name == "scope")
          spf.scope = AsciiLower(text);
        else if (name == "result")
          spf.result = AsciiLower(text);
        else if (name == "human_result")
          spf.human_result = std::string(text);
      }
    }
  }

  const DmarcReportLimits& limits_;
  XML_Parser parser_;
  DmarcReport report_;
  Status status_;
  size_t elements_ = 0;
  size_t unknown_elements_ = 0;
  size_t attributes_ = 0;
  size_t depth_ = 0;
  size_t root_depth_ = 0;  // of <feedback>; 0: outside of it
  size_t skip_depth_ = 0;  // of an element that is passed over with all in it
  bool finished_ = false;
  bool drop_ = false;  // the list of the element at hand is full
  std::string root_prefix_;
  std::vector<std::string> path_;  // below <feedback>
  std::string text_;
};

ReportReader* Reader(void* data) { return static_cast<ReportReader*>(data); }

void OnStart(void* data, const char* name, const char** attributes) {
  Reader(data)->Start(name, attributes);
}
void OnEnd(void* data, const char*) { Reader(data)->End(); }
void OnText(void* data, const char* text, int length) {
  Reader(data)->Text(std::string_view(text, static_cast<size_t>(length)));
}
void OnDoctype(void* data, const char*, const char*, const char*, int) {
  Reader(data)->Stop(InvalidArgument("the report has a document type, which no report needs"));
}
void OnEntity(void* data, const char*, int, const char*, int, const char*, const char*, const char*,
              const char*) {
  Reader(data)->Stop(InvalidArgument("the report declares an entity"));
}

// OnEncoding helps out for one-octet character sets of Windows, of which only ASCII matters in a
// report: their other characters are taken as Latin-1.
int OnEncoding(void*, const char* name, XML_Encoding* info) {
  const std::string_view encoding(name);
  if (!StartsWithIgnoreCase(encoding, "windows-125") && !StartsWithIgnoreCase(encoding, "cp125") &&
      !StartsWithIgnoreCase(encoding, "iso-8859-"))
    return XML_STATUS_ERROR;
  for (int i = 0; i < 256; ++i) info->map[i] = i;
  info->data = nullptr;
  info->convert = nullptr;
  info->release = nullptr;
  return XML_STATUS_OK;
}

struct FreeParser {
  void operator()(XML_Parser parser) const { XML_ParserFree(parser); }
};

}  // namespace

uint64_t DmarcReport::message_count() const {
  uint64_t sum = 0;
  for (const DmarcReportRecord& record : records) sum += std::min(record.count, UINT64_MAX - sum);
  return sum;
}

uint64_t DmarcReport::aligned_count() const {
  uint64_t sum = 0;
  for (const DmarcReportRecord& record : records)
    if (record.aligned()) sum += std::min(record.count, UINT64_MAX - sum);
  return sum;
}

StatusOr<DmarcReport> ParseDmarcReport(std::string_view xml, const DmarcReportLimits& limits) {
  if (xml.size() > limits.max_xml_bytes || xml.size() > INT32_MAX)
    return ResourceExhausted(StrCat("the report is longer than ", limits.max_xml_bytes, " octets"));
  // Blanks before the XML declaration are an error to XML and common in mail.
  while (!xml.empty() && std::string_view(" \t\r\n").find(xml.front()) != std::string_view::npos)
    xml.remove_prefix(1);
  const std::unique_ptr<std::remove_pointer_t<XML_Parser>, FreeParser> parser(
      XML_ParserCreate(nullptr));
  if (parser == nullptr) return ResourceExhausted("no memory to read the report");
  ReportReader reader(limits, parser.get());
  reader.Forget9990();
  XML_SetUserData(parser.get(), &reader);
  XML_SetElementHandler(parser.get(), OnStart, OnEnd);
  XML_SetCharacterDataHandler(parser.get(), OnText);
  XML_SetStartDoctypeDeclHandler(parser.get(), OnDoctype);
  XML_SetEntityDeclHandler(parser.get(), OnEntity);
  XML_SetParamEntityParsing(parser.get(), XML_PARAM_ENTITY_PARSING_NEVER);
  XML_SetUnknownEncodingHandler(parser.get(), OnEncoding, nullptr);
  // In pieces, each as long as the longest markup may be: what is still open behind a piece, and
  // was before it, is too long. So no octet is looked at more than twice for want of its end.
  XML_Status status = XML_STATUS_OK;
  const size_t piece_bytes = std::clamp<size_t>(limits.max_markup_bytes, 1, 1 << 30);
  size_t fed = 0;
  do {
    const std::string_view piece = xml.substr(fed, piece_bytes);
    fed += piece.size();
    status = XML_Parse(parser.get(), piece.data(), static_cast<int>(piece.size()),
                       fed == xml.size() ? XML_TRUE : XML_FALSE);
    const XML_Index known = XML_GetCurrentByteIndex(parser.get());
    if (status == XML_STATUS_OK && fed < xml.size() && known >= 0 &&
        fed - static_cast<size_t>(known) > limits.max_markup_bytes) {
      reader.Stop(
          ResourceExhausted(StrCat("a tag is longer than ", limits.max_markup_bytes, " octets")));
      break;
    }
  } while (status == XML_STATUS_OK && fed < xml.size());
  if (!reader.status().ok()) {
    const Status why = reader.status();
    return Error(why.code(),
                 StrCat("line ", static_cast<uint64_t>(XML_GetCurrentLineNumber(parser.get())),
                        ": ", Message(why)));
  }
  if (status != XML_STATUS_OK) {
    const std::string what =
        StrCat("line ", static_cast<uint64_t>(XML_GetCurrentLineNumber(parser.get())), ": ",
               XML_ErrorString(XML_GetErrorCode(parser.get())));
    // Behind </feedback> nothing matters to the report.
    if (!reader.finished()) return InvalidArgument(what);
    reader.Problem(StrCat("behind the report, ", what));
  }
  if (!reader.finished()) return InvalidArgument("there is no <feedback> element");
  DmarcReport report = reader.Take();
  const auto wanted = [&](bool there, std::string_view what) {
    if (!there && report.problems.size() < limits.max_problems)
      report.problems.push_back(StrCat("there is no <", what, ">"));
  };
  wanted(!report.org_name.empty(), "org_name");
  wanted(!report.report_id.empty(), "report_id");
  wanted(report.begin != 0 && report.end != 0, "date_range");
  wanted(!report.domain.empty(), "domain");
  wanted(!report.records.empty(), "record");
  return report;
}

}  // namespace postern::trust
