#include "lib/capi/dkim_capi.h"

#include <optional>

#include "lib/capi/error_capi.h"
#include "lib/capi/resolver_capi.h"
#include "lib/capi/struct_capi.h"
#include "lib/core/base/json.h"
#include "lib/core/base/strings.h"
#include "lib/core/trust/dkim_sign.h"
#include "lib/core/trust/dkim_verify.h"

struct postern_dkim_signer {
  postern::trust::DkimSignOptions options;
  postern::trust::MessageScanOptions scan_options;
  int64_t now_unix_s = 0;
  std::optional<postern::trust::DkimSigner> signer;
  std::optional<postern::trust::MessageScan> scan;  // from the first feed on
  bool finished = false;
  std::string fields;

  void Begin() {
    if (scan) return;
    signer.emplace(options);
    scan.emplace(std::vector<postern::trust::MessageScan::Reader*>{&*signer}, scan_options);
  }
};

struct postern_dkim_verifier {
  explicit postern_dkim_verifier(const postern::trust::DkimVerifyOptions& options,
                                 const postern::trust::MessageScanOptions& scan_options)
      : verifier(options), scan({&verifier}, scan_options) {}
  postern::trust::DkimVerifier verifier;
  postern::trust::MessageScan scan;
  int64_t now_unix_s = 0;
  bool finished = false;
};

struct postern_dkim {
  postern::trust::DkimVerdict verdict;
  std::string json;
};

namespace {

using postern::JsonWriter;
using postern::StatusOr;
using postern::capi::CString;
using postern::capi::Fail;
using postern::capi::FailWith;
using postern::capi::Guard;
using postern::capi::Lend;
using postern::capi::RunInquiry;
using postern::capi::TakeStruct;
namespace trust = postern::trust;

postern_status Busy(postern_error** out_error, const char* message) {
  return Fail(out_error, POSTERN_ERR_BUSY, "busy", message);
}

trust::Canonicalization CanonicalizationOf(int32_t value) {
  return value == POSTERN_DKIM_SIMPLE ? trust::Canonicalization::kSimple
                                      : trust::Canonicalization::kRelaxed;
}

std::string JsonOf(const trust::DkimVerdict& verdict) {
  JsonWriter json(true);
  json.BeginObject();
  json.Key("result").String(trust::DkimResultName(verdict.result));
  json.Key("reason").String(verdict.reason);
  json.Key("explanation").String(verdict.explanation);
  json.Key("signatures").BeginArray();
  for (const trust::DkimSignatureVerdict& each : verdict.signatures) {
    const trust::DkimSignature& signature = each.signature;
    json.BeginObject();
    json.Key("result").String(trust::DkimResultName(each.result));
    json.Key("reason").String(each.reason);
    json.Key("explanation").String(each.explanation);
    json.Key("domain").String(signature.domain);
    json.Key("selector").String(signature.selector);
    json.Key("identity").String(signature.identity);
    json.Key("algorithm").String(signature.algorithm);
    json.Key("header_canonicalization")
        .String(trust::CanonicalizationName(signature.header_canonicalization));
    json.Key("body_canonicalization")
        .String(trust::CanonicalizationName(signature.body_canonicalization));
    json.Key("signature_start").String(signature.b_start);
    json.Key("key_bits").Int(each.key_bits);
    json.Key("testing").Bool(each.testing);
    json.Key("unsigned_body_bytes").Int(static_cast<int64_t>(each.unsigned_body_bytes));
    if (signature.signed_at_s)
      json.Key("signed_at").Int(static_cast<int64_t>(*signature.signed_at_s));
    if (signature.expires_at_s)
      json.Key("expires_at").Int(static_cast<int64_t>(*signature.expires_at_s));
    json.Key("signed_fields").BeginArray();
    for (const std::string& name : signature.fields) json.String(name);
    json.EndArray();
    json.EndObject();
  }
  json.EndArray();
  json.EndObject();
  return json.Take();
}

const trust::DkimSignatureVerdict* At(const postern_dkim* dkim, size_t index) {
  return index < dkim->verdict.signatures.size() ? &dkim->verdict.signatures[index] : nullptr;
}

}  // namespace

extern "C" {

postern_status postern_dkim_signer_new(postern_dkim_signer** out,
                                       const postern_dkim_sign_options* options,
                                       postern_error** out_error) {
  *out = nullptr;
  return Guard(out_error, [&]() -> postern_status {
    postern_dkim_sign_options given;
    if (!TakeStruct(&given, POSTERN_DKIM_SIGN_OPTIONS_INIT, options))
      return Fail(out_error, POSTERN_ERR_VERSION, "version",
                  "postern_dkim_sign_options has an option that this library does not know");
    auto made = std::make_unique<postern_dkim_signer>();
    made->options.header_canonicalization = CanonicalizationOf(given.header_canonicalization);
    made->options.body_canonicalization = CanonicalizationOf(given.body_canonicalization);
    if (given.fields != nullptr) made->options.fields = postern::capi::Names(given.fields);
    if (given.oversigned != nullptr)
      made->options.oversigned = postern::capi::Names(given.oversigned);
    made->options.expires_after = absl::Seconds(given.expires_after_s);
    made->options.timestamp = given.no_timestamp == 0;
    made->scan_options.bare_lf_is_line_end = given.bare_lf_is_line_end != 0;
    made->now_unix_s = given.now_unix_s;
    *out = made.release();
    return POSTERN_OK;
  });
}

postern_status postern_dkim_signer_add_key(postern_dkim_signer* signer, const postern_dkim_key* key,
                                           const char* domain, const char* selector,
                                           const char* identity, postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (signer->scan) return Busy(out_error, "the message has begun");
    trust::DkimSignOptions check = signer->options;
    check.keys = {
        trust::DkimSigningKey{key == nullptr ? nullptr : key->key, std::string(CString(domain)),
                              std::string(CString(selector)), std::string(CString(identity))}};
    const postern::Status status = CheckDkimSignOptions(check);
    if (!status.ok()) return FailWith(out_error, status);
    signer->options.keys.push_back(std::move(check.keys.front()));
    return POSTERN_OK;
  });
}

postern_status postern_dkim_signer_feed(postern_dkim_signer* signer, const char* data, size_t len,
                                        postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (signer->finished) return Busy(out_error, "the message is at its end");
    signer->Begin();
    signer->scan->Feed(std::string_view(data, len));
    return POSTERN_OK;
  });
}

postern_status postern_dkim_signer_finish(postern_dkim_signer* signer, postern_str* out_fields,
                                          postern_error** out_error) {
  *out_fields = postern_str{nullptr, 0};
  return Guard(out_error, [&]() -> postern_status {
    if (signer->finished) return Busy(out_error, "the message is at its end");
    signer->finished = true;
    signer->Begin();
    signer->scan->Finish();
    StatusOr<std::string> fields = signer->signer->Sign(postern::capi::Wall(signer->now_unix_s));
    if (!fields.ok()) return FailWith(out_error, fields.status());
    signer->fields = std::move(*fields);
    *out_fields = Lend(signer->fields);
    return POSTERN_OK;
  });
}

void postern_dkim_signer_free(postern_dkim_signer* signer) { delete signer; }

postern_status postern_dkim_verifier_new(postern_dkim_verifier** out,
                                         const postern_dkim_verify_options* options,
                                         postern_error** out_error) {
  *out = nullptr;
  return Guard(out_error, [&]() -> postern_status {
    postern_dkim_verify_options given;
    if (!TakeStruct(&given, POSTERN_DKIM_VERIFY_OPTIONS_INIT, options))
      return Fail(out_error, POSTERN_ERR_VERSION, "version",
                  "postern_dkim_verify_options has an option that this library does not know");
    trust::DkimVerifyOptions verify;
    if (given.max_signatures != 0)
      verify.max_signatures = std::min<uint32_t>(given.max_signatures, 1000);
    verify.check.min_rsa_bits = std::max(
        verify.check.min_rsa_bits, static_cast<int>(std::min<uint32_t>(given.min_rsa_bits, 16384)));
    if (given.max_rsa_bits != 0)
      verify.check.max_rsa_bits = static_cast<int>(std::min<uint32_t>(given.max_rsa_bits, 16384));
    trust::MessageScanOptions scan;
    scan.bare_lf_is_line_end = given.bare_lf_is_line_end != 0;
    auto made = std::make_unique<postern_dkim_verifier>(verify, scan);
    made->now_unix_s = given.now_unix_s;
    *out = made.release();
    return POSTERN_OK;
  });
}

postern_status postern_dkim_verifier_feed(postern_dkim_verifier* verifier, const char* data,
                                          size_t len, postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (verifier->finished) return Busy(out_error, "the message is at its end");
    verifier->scan.Feed(std::string_view(data, len));
    return POSTERN_OK;
  });
}

postern_status postern_dkim_verifier_finish(postern_dkim_verifier* verifier,
                                            postern_resolver* resolver, postern_dkim** out,
                                            postern_error** out_error) {
  *out = nullptr;
  return Guard(out_error, [&]() -> postern_status {
    if (verifier->finished) return Busy(out_error, "the message is at its end");
    verifier->finished = true;
    verifier->scan.Finish();
    auto made = std::make_unique<postern_dkim>();
    const postern_status status =
        RunInquiry(resolver, verifier->verifier.Check(postern::capi::Wall(verifier->now_unix_s)),
                   &made->verdict, out_error);
    if (status != POSTERN_OK) return status;
    made->json = JsonOf(made->verdict);
    *out = made.release();
    return POSTERN_OK;
  });
}

void postern_dkim_verifier_free(postern_dkim_verifier* verifier) { delete verifier; }

int32_t postern_dkim_result(const postern_dkim* dkim) {
  return static_cast<int32_t>(dkim->verdict.result);
}
const char* postern_dkim_result_name(const postern_dkim* dkim) {
  return trust::DkimResultName(dkim->verdict.result);
}
const char* postern_dkim_reason(const postern_dkim* dkim) { return dkim->verdict.reason.c_str(); }
const char* postern_dkim_explanation(const postern_dkim* dkim) {
  return dkim->verdict.explanation.c_str();
}
size_t postern_dkim_signature_count(const postern_dkim* dkim) {
  return dkim->verdict.signatures.size();
}
int32_t postern_dkim_signature_result(const postern_dkim* dkim, size_t index) {
  const auto* each = At(dkim, index);
  return each == nullptr ? POSTERN_DKIM_NONE : static_cast<int32_t>(each->result);
}
const char* postern_dkim_signature_reason(const postern_dkim* dkim, size_t index) {
  const auto* each = At(dkim, index);
  return each == nullptr ? "" : each->reason.c_str();
}
const char* postern_dkim_signature_explanation(const postern_dkim* dkim, size_t index) {
  const auto* each = At(dkim, index);
  return each == nullptr ? "" : each->explanation.c_str();
}
const char* postern_dkim_signature_domain(const postern_dkim* dkim, size_t index) {
  const auto* each = At(dkim, index);
  return each == nullptr ? "" : each->signature.domain.c_str();
}
const char* postern_dkim_signature_selector(const postern_dkim* dkim, size_t index) {
  const auto* each = At(dkim, index);
  return each == nullptr ? "" : each->signature.selector.c_str();
}
const char* postern_dkim_signature_identity(const postern_dkim* dkim, size_t index) {
  const auto* each = At(dkim, index);
  return each == nullptr ? "" : each->signature.identity.c_str();
}
const char* postern_dkim_signature_algorithm(const postern_dkim* dkim, size_t index) {
  const auto* each = At(dkim, index);
  return each == nullptr ? "" : each->signature.algorithm.c_str();
}
uint32_t postern_dkim_signature_key_bits(const postern_dkim* dkim, size_t index) {
  const auto* each = At(dkim, index);
  return each == nullptr ? 0 : static_cast<uint32_t>(each->key_bits);
}
int postern_dkim_signature_testing(const postern_dkim* dkim, size_t index) {
  const auto* each = At(dkim, index);
  return each != nullptr && each->testing ? 1 : 0;
}
uint64_t postern_dkim_signature_unsigned_body_bytes(const postern_dkim* dkim, size_t index) {
  const auto* each = At(dkim, index);
  return each == nullptr ? 0 : each->unsigned_body_bytes;
}
const char* postern_dkim_json(const postern_dkim* dkim) { return dkim->json.c_str(); }
void postern_dkim_free(postern_dkim* dkim) { delete dkim; }

}  // extern "C"
