#include "lib/capi/auth_capi.h"

#include "postern/auth.h"
#include <ctime>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/capi/dmarc_capi.h"
#include "lib/capi/error_capi.h"
#include "lib/capi/resolver_capi.h"
#include "lib/core/base/strings.h"
#include "lib/core/trust/authenticate.h"

struct postern_auth_header {
  std::string text;
  size_t body_offset = 0;
  size_t removed = 0;
};

namespace postern::capi {
namespace {

void WriteVerdict(const char* result, std::string_view reason, std::string_view explanation,
                  MemberWriter& json) {
  json.Member("result", result).Member("reason", reason).Member("explanation", explanation);
}

void WriteSpf(const trust::Spf& spf, MemberWriter& json) {
  json.BeginObject();
  WriteVerdict(SpfResultName(spf.result), spf.reason, spf.explanation, json);
  json.Member("domain", spf.domain).Member("identity", SpfIdentityName(spf.identity));
  json.Member("mechanism", spf.mechanism).Member("lookups", spf.lookups).EndObject();
}

std::string Json(const trust::Authentication& found, std::string_view field) {
  MemberWriter json;
  json.BeginObject();
  if (found.iprev) {
    json.Key("iprev").BeginObject();
    WriteVerdict(IprevResultName(found.iprev->result), found.iprev->reason,
                 found.iprev->explanation, json);
    json.Member("name", found.iprev->name).EndObject();
  }
  if (found.spf_helo) {
    json.Key("spf_helo");
    WriteSpf(*found.spf_helo, json);
  }
  if (found.spf) {
    json.Key("spf");
    WriteSpf(*found.spf, json);
  }
  if (found.dkim) {
    json.Key("dkim").BeginObject();
    WriteVerdict(DkimResultName(found.dkim->result), found.dkim->reason, found.dkim->explanation,
                 json);
    json.Key("signatures").BeginArray();
    for (const trust::DkimSignatureVerdict& verdict : found.dkim->signatures) {
      json.BeginObject();
      WriteVerdict(DkimResultName(verdict.result), verdict.reason, verdict.explanation, json);
      json.Member("domain", verdict.signature.domain);
      json.Member("selector", verdict.signature.selector);
      json.Member("algorithm", verdict.signature.algorithm);
      json.Member("identity", verdict.signature.identity);
      json.Member("key_bits", verdict.key_bits).EndObject();
    }
    json.EndArray().EndObject();
  }
  if (found.arc) {
    json.Key("arc").BeginObject();
    WriteVerdict(ArcResultName(found.arc->result), found.arc->reason, found.arc->explanation, json);
    json.Member("instances", found.arc->instances);
    json.Member("oldest_pass", found.arc->oldest_pass).EndObject();
  }
  if (found.dmarc) {
    json.Key("dmarc");
    WriteDmarcCheck(*found.dmarc, json);
  }
  json.Member("authentication_results", field);
  json.EndObject();
  return json.Take();
}

}  // namespace
}  // namespace postern::capi

using namespace postern;  // NOLINT: the functions below are the boundary

extern "C" {

postern_status postern_auth_check(postern_auth** out, postern_resolver* resolver,
                                  const char* message, size_t message_len,
                                  const postern_auth_options* options, postern_error** out_error) {
  return capi::Guard(out_error, [&]() -> postern_status {
    postern_auth_options given;
    if (!capi::TakeStruct(&given, postern_auth_options POSTERN_AUTH_OPTIONS_INIT, options))
      return capi::Fail(out_error, POSTERN_ERR_VERSION, "version",
                        "the options are of a newer header");
    capi::DmarcSettings dmarc;
    const Status read = capi::ReadDmarcOptions(given.dmarc, &dmarc);
    if (!read.ok()) return capi::FailWith(out_error, read);
    trust::AuthenticateRequest request;
    const std::string_view client = capi::CString(given.client_address);
    if (!client.empty()) {
      request.client = IpAddress::Parse(client);
      if (!request.client)
        return capi::FailWith(
            out_error, InvalidArgument(StrCat("\"", Escape(client, 80), "\" is no IP address")));
    }
    request.helo = capi::CString(given.helo);
    request.mail_from = capi::CString(given.mail_from);
    request.authserv_id = capi::CString(given.authserv_id);
    if (request.authserv_id.empty()) request.authserv_id = "localhost";
    if (const Status checked = trust::CheckAuthservId(request.authserv_id); !checked.ok())
      return capi::FailWith(out_error, checked);
    request.auth_user = capi::CString(given.auth_user);
    request.now = absl::FromUnixSeconds(
        given.now_unix_s != 0 ? given.now_unix_s : static_cast<int64_t>(std::time(nullptr)));
    if (given.utf8 < POSTERN_AUTH_UTF8_AS_MESSAGE || given.utf8 > POSTERN_AUTH_UTF8_NEVER)
      return capi::FailWith(out_error, InvalidArgument("utf8 is none of POSTERN_AUTH_UTF8_*"));
    const bool utf8 =
        given.utf8 == POSTERN_AUTH_UTF8_ALWAYS ||
        (given.utf8 == POSTERN_AUTH_UTF8_AS_MESSAGE &&
         trust::IsInternationalized(capi::Given(message, message_len), request.mail_from));
    trust::AuthenticateOptions checks;
    checks.dmarc = dmarc.options;
    checks.scan.bare_lf_is_line_end = given.lf_lines != 0;
    trust::Authenticator authenticator(checks);
    authenticator.Feed(capi::Given(message, message_len));
    authenticator.Finish();
    trust::Authentication found;
    const postern_status asked =
        capi::RunInquiry(resolver, authenticator.Check(request), &found, out_error);
    if (asked != POSTERN_OK) return asked;
    auto result = std::make_unique<postern_auth>();
    result->found = std::move(found);
    result->request = std::move(request);
    const std::string value = trust::FormatAuthenticationResults(result->found.results, utf8);
    result->field = StrCat("Authentication-Results: ", value, "\r\n");
    result->json = capi::Json(result->found, value);
    if (result->found.dmarc) {
      capi::MemberWriter dmarc_json;
      capi::WriteDmarcCheck(*result->found.dmarc, dmarc_json);
      result->dmarc_json = dmarc_json.Take();
    }
    *out = result.release();
    return POSTERN_OK;
  });
}

int32_t postern_auth_dmarc(const postern_auth* auth) {
  return auth->found.dmarc ? capi::CodeOf(auth->found.dmarc->result) : POSTERN_DMARC_NONE;
}
const char* postern_auth_dmarc_explanation(const postern_auth* auth) {
  return auth->found.dmarc ? auth->found.dmarc->explanation.c_str() : "";
}
const char* postern_auth_dmarc_json(const postern_auth* auth) { return auth->dmarc_json.c_str(); }
int32_t postern_auth_disposition(const postern_auth* auth) {
  return auth->found.dmarc ? capi::CodeOf(auth->found.dmarc->disposition)
                           : POSTERN_DMARC_DO_NOTHING;
}
const char* postern_auth_method(const postern_auth* auth, const char* method) {
  const std::string* found = nullptr;
  for (const trust::AuthMethodResult& result : auth->found.results.results) {
    if (!EqualsIgnoreCase(result.method, capi::CString(method))) continue;
    // SPF of HELO stands before that of the reverse-path, which is the one that counts.
    if (found == nullptr || result.method == "spf" || result.result == "pass")
      found = &result.result;
  }
  return found == nullptr ? "" : found->c_str();
}
const char* postern_auth_results(const postern_auth* auth) { return auth->field.c_str(); }
const char* postern_auth_explanation(const postern_auth* auth, size_t index) {
  const std::vector<std::string>& all = auth->found.explanations;
  return index < all.size() ? all[index].c_str() : "";
}
postern_status postern_auth_dmarc_row(postern_dmarc_row** out, const postern_auth* auth,
                                      int32_t disposition, const char* envelope_to,
                                      postern_error** out_error) {
  return capi::Guard(out_error, [&]() -> postern_status {
    const std::optional<trust::DmarcPolicy> applied = capi::PolicyOf(disposition);
    if (!applied)
      return capi::FailWith(out_error,
                            InvalidArgument(StrCat("there is no disposition ", disposition)));
    std::optional<trust::DmarcReportRecord> record = trust::DmarcReportRecordOf(
        auth->found, auth->request, *applied, capi::CString(envelope_to));
    if (!record)
      return capi::Fail(out_error, POSTERN_ERR_NOT_FOUND, "no_row",
                        "the message has no author's domain, or came from no address");
    auto row = std::make_unique<postern_dmarc_row>();
    row->record = *std::move(record);
    *out = row.release();
    return POSTERN_OK;
  });
}
const char* postern_auth_json(const postern_auth* auth) { return auth->json.c_str(); }
void postern_auth_free(postern_auth* auth) { delete auth; }

postern_status postern_auth_remove_forged(postern_auth_header** out, const char* message,
                                          size_t message_len, const char* authserv_id,
                                          postern_error** out_error) {
  return capi::Guard(out_error, [&]() -> postern_status {
    trust::ForgedOptions options;
    options.authserv_ids.emplace_back(capi::CString(authserv_id));
    if (options.authserv_ids[0].empty())
      return capi::FailWith(out_error, InvalidArgument("there is no authserv_id to look for"));
    if (const Status checked = trust::CheckAuthservId(options.authserv_ids[0]); !checked.ok())
      return capi::FailWith(out_error, checked);
    auto result = std::make_unique<postern_auth_header>();
    const std::string_view given = capi::Given(message, message_len);
    result->text = trust::RemoveForgedAuthenticationResults(given, options, &result->body_offset,
                                                            &result->removed);
    *out = result.release();
    return POSTERN_OK;
  });
}
postern_str postern_auth_header_text(const postern_auth_header* header) {
  return capi::Lend(header->text);
}
size_t postern_auth_header_body_offset(const postern_auth_header* header) {
  return header->body_offset;
}
size_t postern_auth_header_removed(const postern_auth_header* header) { return header->removed; }
void postern_auth_header_free(postern_auth_header* header) { delete header; }

}  // extern "C"
