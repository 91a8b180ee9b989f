#include "postern/spf.h"
#include <ctime>
#include <memory>
#include <optional>
#include <string>

#include "lib/capi/resolver_capi.h"
#include "lib/capi/struct_capi.h"
#include "lib/core/base/json.h"
#include "lib/core/base/strings.h"
#include "lib/core/trust/iprev.h"
#include "lib/core/trust/received_spf.h"
#include "lib/core/trust/spf_check.h"

struct postern_spf {
  postern::trust::Spf spf;
  std::string received;
  std::string json;
};

struct postern_iprev {
  postern::trust::Iprev iprev;
  std::string json;
};

namespace {

using postern::Escape;
using postern::IpAddress;
using postern::JsonWriter;
using postern::StrCat;
using postern::capi::CString;
using postern::capi::Fail;
using postern::capi::Guard;
using postern::capi::RunInquiry;
using postern::capi::TakeStruct;
namespace trust = postern::trust;

std::string JsonOf(const trust::Spf& spf, const trust::SpfQuery& query) {
  JsonWriter json(true);
  json.BeginObject();
  json.Key("result").String(trust::SpfResultName(spf.result));
  json.Key("reason").String(spf.reason);
  json.Key("explanation").String(spf.explanation);
  json.Key("identity").String(trust::SpfIdentityName(spf.identity));
  json.Key("client_ip").String(query.client.ToString());
  json.Key("sender").String(query.sender);
  json.Key("helo").String(query.helo);
  json.Key("domain").String(spf.domain);
  json.Key("mechanism").String(spf.mechanism);
  json.Key("published").String(spf.published);
  json.Key("lookups").Int(static_cast<int64_t>(spf.lookups));
  json.Key("void_lookups").Int(static_cast<int64_t>(spf.void_lookups));
  json.Key("steps").BeginArray();
  for (const trust::SpfStep& step : spf.steps) {
    json.BeginObject();
    json.Key("domain").String(step.domain);
    json.Key("record").String(step.record);
    json.Key("term").String(step.term);
    json.EndObject();
  }
  json.EndArray();
  json.EndObject();
  return json.Take();
}

std::string JsonOf(const trust::Iprev& iprev) {
  JsonWriter json(true);
  json.BeginObject();
  json.Key("result").String(trust::IprevResultName(iprev.result));
  json.Key("reason").String(iprev.reason);
  json.Key("explanation").String(iprev.explanation);
  json.Key("name").String(iprev.name);
  json.Key("names").BeginArray();
  for (const std::string& name : iprev.names) json.String(name);
  json.EndArray();
  json.EndObject();
  return json.Take();
}

postern_status NotAnAddress(postern_error** out_error, std::string_view text) {
  return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "invalid-argument",
              StrCat("'", Escape(text), "' is not an IP address"));
}

size_t Limit(uint16_t given, size_t standard) {
  if (given == POSTERN_SPF_NO_LOOKUPS) return 0;
  return given == 0 ? standard : given;
}

}  // namespace

extern "C" {

postern_status postern_spf_check(postern_spf** out, postern_resolver* resolver,
                                 const postern_spf_options* options, postern_error** out_error) {
  *out = nullptr;
  return Guard(out_error, [&]() -> postern_status {
    postern_spf_options given;
    if (!TakeStruct(&given, POSTERN_SPF_OPTIONS_INIT, options))
      return Fail(out_error, POSTERN_ERR_VERSION, "version",
                  "postern_spf_options has an option that this library does not know");
    trust::SpfQuery query;
    const std::optional<IpAddress> client = IpAddress::Parse(CString(given.client_ip));
    if (!client) return NotAnAddress(out_error, CString(given.client_ip));
    if (given.identity != POSTERN_SPF_MAILFROM && given.identity != POSTERN_SPF_HELO)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "invalid-argument",
                  StrCat("there is no identity ", given.identity));
    query.client = *client;
    query.helo = CString(given.helo);
    query.sender = CString(given.sender);
    query.identity = given.identity == POSTERN_SPF_HELO ? trust::SpfIdentity::kHelo
                                                        : trust::SpfIdentity::kMailFrom;
    query.receiver = CString(given.receiver);
    query.now_unix_s = given.now_unix_s != 0 ? given.now_unix_s : time(nullptr);
    trust::SpfLimits limits;
    limits.max_lookups = Limit(given.max_lookups, limits.max_lookups);
    limits.max_void_lookups = Limit(given.max_void_lookups, limits.max_void_lookups);

    auto made = std::make_unique<postern_spf>();
    const postern_status status =
        RunInquiry(resolver, trust::CheckSpf(query, limits), &made->spf, out_error);
    if (status != POSTERN_OK) return status;
    made->received = trust::ReceivedSpf(made->spf, query);
    made->json = JsonOf(made->spf, query);
    *out = made.release();
    return POSTERN_OK;
  });
}

int32_t postern_spf_result(const postern_spf* spf) { return static_cast<int32_t>(spf->spf.result); }
const char* postern_spf_result_name(const postern_spf* spf) {
  return trust::SpfResultName(spf->spf.result);
}
const char* postern_spf_reason(const postern_spf* spf) { return spf->spf.reason.c_str(); }
const char* postern_spf_explanation(const postern_spf* spf) { return spf->spf.explanation.c_str(); }
const char* postern_spf_domain(const postern_spf* spf) { return spf->spf.domain.c_str(); }
const char* postern_spf_mechanism(const postern_spf* spf) { return spf->spf.mechanism.c_str(); }
const char* postern_spf_published(const postern_spf* spf) { return spf->spf.published.c_str(); }
size_t postern_spf_lookups(const postern_spf* spf) { return spf->spf.lookups; }
size_t postern_spf_void_lookups(const postern_spf* spf) { return spf->spf.void_lookups; }
size_t postern_spf_step_count(const postern_spf* spf) { return spf->spf.steps.size(); }
const char* postern_spf_step_domain(const postern_spf* spf, size_t index) {
  return index < spf->spf.steps.size() ? spf->spf.steps[index].domain.c_str() : "";
}
const char* postern_spf_step_record(const postern_spf* spf, size_t index) {
  return index < spf->spf.steps.size() ? spf->spf.steps[index].record.c_str() : "";
}
const char* postern_spf_step_term(const postern_spf* spf, size_t index) {
  return index < spf->spf.steps.size() ? spf->spf.steps[index].term.c_str() : "";
}
const char* postern_spf_received_header(const postern_spf* spf) { return spf->received.c_str(); }
const char* postern_spf_json(const postern_spf* spf) { return spf->json.c_str(); }
void postern_spf_free(postern_spf* spf) { delete spf; }

postern_status postern_iprev_check(postern_iprev** out, postern_resolver* resolver,
                                   const char* client_ip, postern_error** out_error) {
  *out = nullptr;
  return Guard(out_error, [&]() -> postern_status {
    const std::optional<IpAddress> client = IpAddress::Parse(CString(client_ip));
    if (!client) return NotAnAddress(out_error, CString(client_ip));
    auto made = std::make_unique<postern_iprev>();
    const postern_status status =
        RunInquiry(resolver, trust::CheckIprev(*client), &made->iprev, out_error);
    if (status != POSTERN_OK) return status;
    made->json = JsonOf(made->iprev);
    *out = made.release();
    return POSTERN_OK;
  });
}

int32_t postern_iprev_result(const postern_iprev* iprev) {
  return static_cast<int32_t>(iprev->iprev.result);
}
const char* postern_iprev_result_name(const postern_iprev* iprev) {
  return trust::IprevResultName(iprev->iprev.result);
}
const char* postern_iprev_reason(const postern_iprev* iprev) { return iprev->iprev.reason.c_str(); }
const char* postern_iprev_explanation(const postern_iprev* iprev) {
  return iprev->iprev.explanation.c_str();
}
const char* postern_iprev_name(const postern_iprev* iprev) { return iprev->iprev.name.c_str(); }
const char* postern_iprev_json(const postern_iprev* iprev) { return iprev->json.c_str(); }
void postern_iprev_free(postern_iprev* iprev) { delete iprev; }

}  // extern "C"
