#include "postern/arc.h"
#include <memory>
#include <optional>

#include "lib/capi/dkim_capi.h"
#include "lib/capi/error_capi.h"
#include "lib/capi/resolver_capi.h"
#include "lib/capi/struct_capi.h"
#include "lib/core/base/json.h"
#include "lib/core/base/strings.h"
#include "lib/core/trust/arc_seal.h"

struct postern_arc_reader {
  postern_arc_reader(std::optional<postern::trust::ArcSealOptions> seal,
                     const postern::trust::MessageScanOptions& scan_options) {
    std::vector<postern::trust::MessageScan::Reader*> readers = {&verifier};
    if (seal) readers.push_back(&sealer.emplace(std::move(*seal)));
    scan.emplace(std::move(readers), scan_options);
  }
  postern::trust::ArcVerifier verifier;
  std::optional<postern::trust::ArcSealer> sealer;
  std::optional<postern::trust::MessageScan> scan;
  int64_t now_unix_s = 0;
  bool finished = false;
  std::optional<postern::trust::ArcVerdict> verdict;
  std::string fields;
};

struct postern_arc {
  postern::trust::ArcVerdict verdict;
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

std::string JsonOf(const trust::ArcVerdict& verdict) {
  JsonWriter json(true);
  json.BeginObject();
  json.Key("result").String(trust::ArcResultName(verdict.result));
  json.Key("reason").String(verdict.reason);
  json.Key("explanation").String(verdict.explanation);
  json.Key("instances").Int(verdict.instances);
  json.Key("oldest_pass").Int(verdict.oldest_pass);
  json.Key("sets").BeginArray();
  for (const trust::ArcSetVerdict& set : verdict.sets) {
    json.BeginObject();
    json.Key("instance").Int(set.instance);
    json.Key("domain").String(set.domain);
    json.Key("selector").String(set.selector);
    json.Key("results").String(set.results);
    json.Key("seal_good").Bool(set.seal_good);
    json.Key("message_good").Bool(set.message_good);
    json.EndObject();
  }
  json.EndArray();
  json.EndObject();
  return json.Take();
}

}  // namespace

extern "C" {

postern_status postern_arc_reader_new(postern_arc_reader** out, const postern_arc_options* options,
                                      postern_error** out_error) {
  *out = nullptr;
  return Guard(out_error, [&]() -> postern_status {
    postern_arc_options given;
    if (!TakeStruct(&given, POSTERN_ARC_OPTIONS_INIT, options))
      return Fail(out_error, POSTERN_ERR_VERSION, "version",
                  "postern_arc_options has an option that this library does not know");
    std::optional<trust::ArcSealOptions> seal;
    if (given.key != nullptr) {
      seal.emplace();
      seal->key = {given.key->key, std::string(CString(given.domain)),
                   std::string(CString(given.selector)), ""};
      seal->authserv_id = CString(given.authserv_id);
      seal->results = CString(given.results);
      if (given.fields != nullptr) seal->fields = postern::capi::Names(given.fields);
      if (given.oversigned != nullptr) seal->oversigned = postern::capi::Names(given.oversigned);
      trust::DkimSignOptions check;
      check.keys = {seal->key};
      check.fields = seal->fields;
      check.oversigned = seal->oversigned;
      const postern::Status status = CheckDkimSignOptions(check);
      if (!status.ok()) return FailWith(out_error, status);
    }
    trust::MessageScanOptions scan;
    scan.bare_lf_is_line_end = given.bare_lf_is_line_end != 0;
    auto made = std::make_unique<postern_arc_reader>(std::move(seal), scan);
    made->now_unix_s = given.now_unix_s;
    *out = made.release();
    return POSTERN_OK;
  });
}

postern_status postern_arc_reader_feed(postern_arc_reader* reader, const char* data, size_t len,
                                       postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (reader->finished)
      return Fail(out_error, POSTERN_ERR_BUSY, "busy", "the message is at its end");
    reader->scan->Feed(std::string_view(data, len));
    return POSTERN_OK;
  });
}

postern_status postern_arc_reader_finish(postern_arc_reader* reader, postern_resolver* resolver,
                                         postern_arc** out, postern_error** out_error) {
  *out = nullptr;
  return Guard(out_error, [&]() -> postern_status {
    if (reader->finished)
      return Fail(out_error, POSTERN_ERR_BUSY, "busy", "the message is at its end");
    reader->finished = true;
    reader->scan->Finish();
    auto made = std::make_unique<postern_arc>();
    const postern_status status =
        RunInquiry(resolver, reader->verifier.Check(), &made->verdict, out_error);
    if (status != POSTERN_OK) return status;
    reader->verdict = made->verdict;
    made->json = JsonOf(made->verdict);
    *out = made.release();
    return POSTERN_OK;
  });
}

postern_status postern_arc_reader_seal(postern_arc_reader* reader, postern_str* out_fields,
                                       postern_error** out_error) {
  *out_fields = postern_str{nullptr, 0};
  return Guard(out_error, [&]() -> postern_status {
    if (!reader->sealer)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "invalid-argument",
                  "there is no key to seal with");
    if (!reader->verdict)
      return Fail(out_error, POSTERN_ERR_BUSY, "busy", "the chain has not been validated");
    if (reader->verdict->result == trust::ArcResult::kTempError)
      return Fail(out_error, POSTERN_ERR_IO, "dns_failed",
                  "the chain could not be checked, so no seal can say what it is");
    StatusOr<std::string> fields =
        reader->sealer->Seal(*reader->verdict, postern::capi::Wall(reader->now_unix_s));
    if (!fields.ok()) return FailWith(out_error, fields.status());
    reader->fields = std::move(*fields);
    *out_fields = Lend(reader->fields);
    return POSTERN_OK;
  });
}

void postern_arc_reader_free(postern_arc_reader* reader) { delete reader; }

int32_t postern_arc_result(const postern_arc* arc) {
  return static_cast<int32_t>(arc->verdict.result);
}
const char* postern_arc_result_name(const postern_arc* arc) {
  return trust::ArcResultName(arc->verdict.result);
}
const char* postern_arc_reason(const postern_arc* arc) { return arc->verdict.reason.c_str(); }
const char* postern_arc_explanation(const postern_arc* arc) {
  return arc->verdict.explanation.c_str();
}
uint32_t postern_arc_oldest_pass(const postern_arc* arc) { return arc->verdict.oldest_pass; }
size_t postern_arc_set_count(const postern_arc* arc) { return arc->verdict.sets.size(); }
const char* postern_arc_set_domain(const postern_arc* arc, size_t index) {
  return index < arc->verdict.sets.size() ? arc->verdict.sets[index].domain.c_str() : "";
}
const char* postern_arc_set_results(const postern_arc* arc, size_t index) {
  return index < arc->verdict.sets.size() ? arc->verdict.sets[index].results.c_str() : "";
}
const char* postern_arc_json(const postern_arc* arc) { return arc->json.c_str(); }
void postern_arc_free(postern_arc* arc) { delete arc; }

}  // extern "C"
