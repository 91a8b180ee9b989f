#include "lib/capi/dmarc_capi.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/capi/error_capi.h"
#include "lib/capi/resolver_capi.h"
#include "lib/core/base/strings.h"
#include "lib/core/mail/address.h"
#include "lib/core/trust/dmarc_report.h"

struct postern_dmarc_record {
  bool usable = false;
  std::string text;
  std::vector<std::string> problems;
  std::string json;
};
struct postern_dmarc_discovery {
  std::string policy_domain;
  std::string organizational_domain;
  std::string record;
  std::string explanation;
  std::string json;
  std::string policy;
  std::string policy_tag;
  bool temporary = false;
};
struct postern_dmarc_result {
  postern::trust::DmarcCheck check;
  std::string json;
};
struct postern_dmarc_reports {
  struct One {
    std::string text;
    std::string json;
  };
  std::vector<One> reports;
};

namespace postern::capi {
namespace {

// WithoutFinalDot takes the dot of a fully qualified name off (RFC 1034 §3.1).
std::string_view WithoutFinalDot(std::string_view domain) {
  if (domain.size() > 1 && domain.back() == '.') domain.remove_suffix(1);
  return domain;
}

void WriteUris(const std::vector<trust::DmarcUri>& uris, MemberWriter& json) {
  json.BeginArray();
  for (const trust::DmarcUri& uri : uris) {
    json.BeginObject().Member("uri", uri.uri).Member("mailbox", uri.mailbox);
    if (uri.max_bytes != 0) json.Member("max_bytes", uri.max_bytes);
    json.EndObject();
  }
  json.EndArray();
}

void WriteReport(const trust::DmarcReport& report, MemberWriter& json) {
  json.BeginObject();
  json.Member("form", report.rfc9990 ? "rfc9990" : "rfc7489");
  json.Member("org_name", report.org_name).Member("email", report.email);
  json.Member("extra_contact_info", report.extra_contact_info);
  json.Member("report_id", report.report_id).Member("generator", report.generator);
  json.Member("begin", report.begin).Member("end", report.end);
  json.Key("errors").BeginArray();
  for (const std::string& error : report.errors) json.String(error);
  json.EndArray();
  json.Key("policy").BeginObject();
  json.Member("domain", report.domain).Member("discovery_method", report.discovery_method);
  json.Member("p", report.p).Member("sp", report.sp).Member("np", report.np);
  json.Member("adkim", report.adkim).Member("aspf", report.aspf).Member("fo", report.fo);
  json.Member("testing", report.testing).Member("pct", report.pct).EndObject();
  json.Member("messages", report.message_count()).Member("passed", report.aligned_count());
  json.Key("records").BeginArray();
  for (const trust::DmarcReportRecord& record : report.records) {
    json.BeginObject();
    json.Member("source_ip", record.source_ip).Member("count", record.count);
    json.Member("disposition", record.disposition);
    json.Member("dkim", record.dkim).Member("spf", record.spf);
    json.Key("reasons").BeginArray();
    for (const trust::DmarcReportReason& reason : record.reasons)
      json.BeginObject().Member("type", reason.type).Member("comment", reason.comment).EndObject();
    json.EndArray();
    json.Member("header_from", record.header_from);
    if (record.envelope_from) json.Member("envelope_from", *record.envelope_from);
    if (record.envelope_to) json.Member("envelope_to", *record.envelope_to);
    json.Key("dkim_results").BeginArray();
    for (const trust::DmarcReportDkim& dkim : record.dkim_results) {
      json.BeginObject().Member("domain", dkim.domain).Member("selector", dkim.selector);
      json.Member("result", dkim.result).Member("human_result", dkim.human_result).EndObject();
    }
    json.EndArray().Key("spf_results").BeginArray();
    for (const trust::DmarcReportSpf& spf : record.spf_results) {
      json.BeginObject().Member("domain", spf.domain).Member("scope", spf.scope);
      json.Member("result", spf.result).Member("human_result", spf.human_result).EndObject();
    }
    json.EndArray().EndObject();
  }
  json.EndArray().Key("problems").BeginArray();
  for (const std::string& problem : report.problems) json.String(problem);
  json.EndArray().EndObject();
}

}  // namespace

int32_t CodeOf(trust::DmarcResult result) {
  switch (result) {
    case trust::DmarcResult::kNone: return POSTERN_DMARC_NONE;
    case trust::DmarcResult::kPass: return POSTERN_DMARC_PASS;
    case trust::DmarcResult::kFail: return POSTERN_DMARC_FAIL;
    case trust::DmarcResult::kTempError: return POSTERN_DMARC_TEMPERROR;
    case trust::DmarcResult::kPermError: return POSTERN_DMARC_PERMERROR;
  }
  return POSTERN_DMARC_NONE;
}

int32_t CodeOf(trust::DmarcPolicy policy) {
  switch (policy) {
    case trust::DmarcPolicy::kNone: return POSTERN_DMARC_DO_NOTHING;
    case trust::DmarcPolicy::kQuarantine: return POSTERN_DMARC_QUARANTINE;
    case trust::DmarcPolicy::kReject: return POSTERN_DMARC_REJECT;
  }
  return POSTERN_DMARC_DO_NOTHING;
}

std::optional<trust::DmarcPolicy> PolicyOf(int32_t disposition) {
  switch (disposition) {
    case POSTERN_DMARC_DO_NOTHING: return trust::DmarcPolicy::kNone;
    case POSTERN_DMARC_QUARANTINE: return trust::DmarcPolicy::kQuarantine;
    case POSTERN_DMARC_REJECT: return trust::DmarcPolicy::kReject;
  }
  return std::nullopt;
}

Status ReadDmarcOptions(const postern_dmarc_options* options, DmarcSettings* settings) {
  postern_dmarc_options given;
  if (!TakeStruct(&given, postern_dmarc_options POSTERN_DMARC_OPTIONS_INIT, options))
    return InvalidArgument("the DMARC options are of a newer header");
  if (given.method == POSTERN_DMARC_TREE_WALK) return OkStatus();
  if (given.method != POSTERN_DMARC_PUBLIC_SUFFIX_LIST)
    return InvalidArgument(StrCat("there is no DMARC method ", given.method));
  const std::string_view text = Given(given.public_suffix_list, given.public_suffix_list_len);
  StatusOr<trust::PublicSuffixList> list =
      text.empty() ? trust::PublicSuffixList::Builtin() : trust::PublicSuffixList::Parse(text);
  if (!list.ok()) return list.status();
  settings->list = *std::move(list);
  settings->options.method = trust::DmarcMethod::kPublicSuffixList;
  settings->options.suffixes = &*settings->list;
  return OkStatus();
}

void WriteDmarcRecord(const trust::DmarcRecord& record, MemberWriter& json) {
  json.BeginObject();
  const auto policy = [&json](const char* name, const std::optional<trust::DmarcPolicy>& value) {
    if (value) json.Member(name, DmarcPolicyName(*value));
  };
  policy("p", record.p);
  policy("sp", record.sp);
  policy("np", record.np);
  json.Member("adkim", record.adkim == trust::DmarcAlignment::kStrict ? "s" : "r");
  json.Member("aspf", record.aspf == trust::DmarcAlignment::kStrict ? "s" : "r");
  json.Member("psd", record.psd == trust::DmarcPsd::kYes  ? "y"
                     : record.psd == trust::DmarcPsd::kNo ? "n"
                                                          : "u");
  json.Member("testing", record.testing);
  json.Key("fo").BeginObject().Member("all", record.fo.all).Member("any", record.fo.any);
  json.Member("dkim", record.fo.dkim).Member("spf", record.fo.spf).EndObject();
  json.Key("rua");
  WriteUris(record.rua, json);
  json.Key("ruf");
  WriteUris(record.ruf, json);
  if (record.pct) json.Member("pct", *record.pct);
  if (record.ri) json.Member("ri", *record.ri);
  json.Member("usable", record.usable());
  json.Key("problems").BeginArray();
  for (const trust::DmarcProblem& problem : record.problems) {
    json.BeginObject().Member("tag", problem.tag).Member("reason", problem.reason);
    json.Member("explanation", problem.explanation)
        .Member("harmless", problem.harmless)
        .EndObject();
  }
  json.EndArray().EndObject();
}

void WriteDmarcCheck(const trust::DmarcCheck& check, MemberWriter& json) {
  json.BeginObject();
  json.Member("result", DmarcResultName(check.result)).Member("reason", check.reason);
  json.Member("explanation", check.explanation);
  json.Member("author_domain", check.author_domain);
  json.Member("organizational_domain", check.organizational_domain);
  json.Member("method", check.method == trust::DmarcMethod::kTreeWalk ? "treewalk" : "psl");
  if (check.record) {
    json.Member("policy_domain", check.policy_domain).Member("record", check.record_text);
    json.Member("policy", DmarcPolicyName(check.policy)).Member("policy_tag", check.policy_tag);
    json.Member("testing", check.testing);
  }
  json.Member("disposition", DmarcPolicyName(check.disposition));
  json.Member("spf_aligned", check.spf_aligned).Member("dkim_aligned", check.dkim_aligned);
  json.Member("queries", check.queries).EndObject();
}

}  // namespace postern::capi

using namespace postern;  // NOLINT: the functions below are the boundary

extern "C" {

postern_status postern_dmarc_record_parse(postern_dmarc_record** out, const char* text,
                                          size_t text_len, postern_error** out_error) {
  return capi::Guard(out_error, [&]() -> postern_status {
    const std::optional<trust::DmarcRecord> record =
        trust::ParseDmarcRecord(capi::Given(text, text_len));
    if (!record)
      return capi::FailWith(out_error, InvalidArgument("the text does not begin with v=DMARC1"));
    auto result = std::make_unique<postern_dmarc_record>();
    result->usable = record->usable();
    result->text = trust::FormatDmarcRecord(*record);
    for (const trust::DmarcProblem& problem : record->problems)
      result->problems.push_back(problem.explanation);
    capi::MemberWriter json;
    capi::WriteDmarcRecord(*record, json);
    result->json = json.Take();
    *out = result.release();
    return POSTERN_OK;
  });
}
int postern_dmarc_record_is_usable(const postern_dmarc_record* record) { return record->usable; }
const char* postern_dmarc_record_text(const postern_dmarc_record* record) {
  return record->text.c_str();
}
const char* postern_dmarc_record_problem(const postern_dmarc_record* record, size_t index) {
  return index < record->problems.size() ? record->problems[index].c_str() : "";
}
const char* postern_dmarc_record_json(const postern_dmarc_record* record) {
  return record->json.c_str();
}
void postern_dmarc_record_free(postern_dmarc_record* record) { delete record; }

postern_status postern_dmarc_discover(postern_dmarc_discovery** out, postern_resolver* resolver,
                                      const char* domain, size_t domain_len,
                                      const postern_dmarc_options* options,
                                      postern_error** out_error) {
  return capi::Guard(out_error, [&]() -> postern_status {
    capi::DmarcSettings settings;
    const Status read = capi::ReadDmarcOptions(options, &settings);
    if (!read.ok()) return capi::FailWith(out_error, read);
    const StatusOr<std::string> name =
        mail::DomainToAscii(capi::WithoutFinalDot(capi::Given(domain, domain_len)));
    if (!name.ok() || name->empty())
      return capi::FailWith(
          out_error, InvalidArgument(StrCat("\"", Escape(capi::Given(domain, domain_len), 80),
                                            "\" is no domain name")));
    trust::DmarcDiscovery found;
    const postern_status asked = capi::RunInquiry(
        resolver, trust::DiscoverDmarc(*name, settings.options), &found, out_error);
    if (asked != POSTERN_OK) return asked;
    auto result = std::make_unique<postern_dmarc_discovery>();
    result->organizational_domain = found.organizational_domain;
    result->temporary = found.temporary;
    if (found.temporary) result->explanation = found.detail;
    for (const trust::DmarcStep& step : found.steps) {
      if (found.temporary || step.outcome != "several") continue;
      result->explanation =
          StrCat(step.name, " has several DMARC records, and several are as good as none");
      break;
    }
    capi::MemberWriter json;
    json.BeginObject().Member("domain", found.domain);
    json.Member("organizational_domain", found.organizational_domain);
    json.Member("temporary_failure", found.temporary);
    const trust::DmarcFound* policy = found.policy();
    if (policy != nullptr) {
      result->policy_domain = policy->domain;
      result->record = policy->text;
      // RFC 9989 §4.7: of a name below, "sp", or "np" when the name does not exist.
      auto whose = trust::DmarcRecord::Whose::kItself;
      if (found.domain != policy->domain) {
        whose = trust::DmarcRecord::Whose::kSubdomain;
        bool exists = true;
        if (policy->record.np) {
          const postern_status looked =
              capi::RunInquiry(resolver, trust::DomainExists(*name), &exists, out_error);
          if (looked != POSTERN_OK) return looked;
        }
        if (!exists) whose = trust::DmarcRecord::Whose::kMissingSubdomain;
      }
      std::string_view tag;
      result->policy = trust::DmarcPolicyName(policy->record.PolicyFor(whose, &tag));
      result->policy_tag = tag;
      json.Member("policy_domain", policy->domain).Member("record", policy->text);
      json.Member("policy", result->policy).Member("policy_tag", result->policy_tag).Key("tags");
      capi::WriteDmarcRecord(policy->record, json);
    }
    json.Key("questions").BeginArray();
    for (const trust::DmarcStep& step : found.steps)
      json.BeginObject().Member("name", step.name).Member("outcome", step.outcome).EndObject();
    json.EndArray().EndObject();
    result->json = json.Take();
    *out = result.release();
    return POSTERN_OK;
  });
}
const char* postern_dmarc_discovery_policy_domain(const postern_dmarc_discovery* discovery) {
  return discovery->policy_domain.c_str();
}
const char* postern_dmarc_discovery_organizational_domain(
    const postern_dmarc_discovery* discovery) {
  return discovery->organizational_domain.c_str();
}
const char* postern_dmarc_discovery_record(const postern_dmarc_discovery* discovery) {
  return discovery->record.c_str();
}
int postern_dmarc_discovery_is_temporary(const postern_dmarc_discovery* discovery) {
  return discovery->temporary ? 1 : 0;
}
const char* postern_dmarc_discovery_explanation(const postern_dmarc_discovery* discovery) {
  return discovery->explanation.c_str();
}
const char* postern_dmarc_discovery_policy(const postern_dmarc_discovery* discovery) {
  return discovery->policy.c_str();
}
const char* postern_dmarc_discovery_policy_tag(const postern_dmarc_discovery* discovery) {
  return discovery->policy_tag.c_str();
}
const char* postern_dmarc_discovery_json(const postern_dmarc_discovery* discovery) {
  return discovery->json.c_str();
}
void postern_dmarc_discovery_free(postern_dmarc_discovery* discovery) { delete discovery; }

postern_status postern_dmarc_check(postern_dmarc_result** out, postern_resolver* resolver,
                                   const char* from_domain, size_t from_domain_len,
                                   const char* spf_domain, size_t spf_domain_len,
                                   const postern_str* dkim_domains, size_t dkim_domain_count,
                                   const postern_dmarc_options* options,
                                   postern_error** out_error) {
  return capi::Guard(out_error, [&]() -> postern_status {
    capi::DmarcSettings settings;
    const Status read = capi::ReadDmarcOptions(options, &settings);
    if (!read.ok()) return capi::FailWith(out_error, read);
    trust::DmarcInput input;
    const std::string from = StrCat("x@", capi::Given(from_domain, from_domain_len));
    input.author = trust::DmarcAuthorOf({from});
    if (spf_domain_len != 0)
      input.spf = trust::DmarcIdentity{std::string(capi::Given(spf_domain, spf_domain_len))};
    for (size_t i = 0; i < dkim_domain_count; ++i)
      input.dkim.push_back({std::string(capi::Given(dkim_domains[i].data, dkim_domains[i].len))});
    trust::DmarcCheck check;
    const postern_status asked = capi::RunInquiry(
        resolver, trust::CheckDmarc(std::move(input), settings.options), &check, out_error);
    if (asked != POSTERN_OK) return asked;
    auto result = std::make_unique<postern_dmarc_result>();
    result->check = std::move(check);
    capi::MemberWriter json;
    capi::WriteDmarcCheck(result->check, json);
    result->json = json.Take();
    *out = result.release();
    return POSTERN_OK;
  });
}
int32_t postern_dmarc_result_code(const postern_dmarc_result* result) {
  return capi::CodeOf(result->check.result);
}
int32_t postern_dmarc_result_disposition(const postern_dmarc_result* result) {
  return capi::CodeOf(result->check.disposition);
}
const char* postern_dmarc_result_reason(const postern_dmarc_result* result) {
  return result->check.reason.c_str();
}
const char* postern_dmarc_result_explanation(const postern_dmarc_result* result) {
  return result->check.explanation.c_str();
}
const char* postern_dmarc_result_json(const postern_dmarc_result* result) {
  return result->json.c_str();
}
void postern_dmarc_result_free(postern_dmarc_result* result) { delete result; }

postern_status postern_dmarc_reports_read(postern_dmarc_reports** out, const char* octets,
                                          size_t octets_len, postern_error** out_error) {
  return capi::Guard(out_error, [&]() -> postern_status {
    StatusOr<std::vector<trust::DmarcReport>> reports =
        trust::ReadDmarcReports(capi::Given(octets, octets_len));
    if (!reports.ok()) return capi::FailWith(out_error, reports.status());
    auto result = std::make_unique<postern_dmarc_reports>();
    for (const trust::DmarcReport& report : *reports) {
      capi::MemberWriter json;
      capi::WriteReport(report, json);
      result->reports.push_back({trust::DescribeDmarcReport(report), json.Take()});
    }
    *out = result.release();
    return POSTERN_OK;
  });
}
size_t postern_dmarc_reports_count(const postern_dmarc_reports* reports) {
  return reports->reports.size();
}
const char* postern_dmarc_reports_text(const postern_dmarc_reports* reports, size_t index) {
  return index < reports->reports.size() ? reports->reports[index].text.c_str() : "";
}
const char* postern_dmarc_reports_json(const postern_dmarc_reports* reports, size_t index) {
  return index < reports->reports.size() ? reports->reports[index].json.c_str() : "";
}
void postern_dmarc_reports_free(postern_dmarc_reports* reports) { delete reports; }

}  // extern "C"
