#include "lib/capi/config_capi.h"

#include "lib/capi/error_capi.h"
#include "lib/capi/struct_capi.h"
#include "lib/core/base/json.h"
#include "lib/core/base/strings.h"
#include "lib/core/policy/upgrade.h"
#include "lib/server/config_check.h"
#include "lib/server/privileges.h"

struct postern_upgrade {
  postern::policy::Upgrade upgrade;
  std::unique_ptr<postern_findings> findings;
};

namespace {

using postern::JsonWriter;
using postern::StrCat;
using postern::capi::Fail;
using postern::capi::Guard;
using postern::capi::TakeStruct;
using postern::policy::Diagnostic;
using postern::policy::Diagnostics;
using postern::policy::Severity;
namespace rt = postern::rt;
namespace server = postern::server;

int64_t CountOf(const Diagnostics& list, Severity severity) {
  int64_t count = 0;
  for (const Diagnostic& each : list) count += each.severity == severity ? 1 : 0;
  return count;
}

std::string JsonOf(const Diagnostics& list) {
  JsonWriter json(true);
  json.BeginObject();
  json.Key("ok").Bool(CountOf(list, Severity::kError) == 0);
  json.Key("errors").Int(CountOf(list, Severity::kError));
  json.Key("warnings").Int(CountOf(list, Severity::kWarning));
  json.Key("notes").Int(CountOf(list, Severity::kNote));
  json.Key("findings").BeginArray();
  for (const Diagnostic& each : list) {
    json.BeginObject();
    json.Key("severity").String(postern::policy::SeverityName(each.severity));
    json.Key("file").String(each.location.file);
    json.Key("line").Int(each.location.line);
    json.Key("column").Int(each.location.column);
    json.Key("code").String(each.code);
    json.Key("message").String(each.message);
    json.Key("edit").String(each.edit);
    json.EndObject();
  }
  json.EndArray();
  json.EndObject();
  return json.Take();
}

int32_t SeverityOf(const Diagnostic& diagnostic) {
  switch (diagnostic.severity) {
    case Severity::kError: return POSTERN_FINDING_ERROR;
    case Severity::kNote: return POSTERN_FINDING_NOTE;
    case Severity::kWarning: break;
  }
  return POSTERN_FINDING_WARNING;
}

const Diagnostic* At(const postern_findings* findings, size_t index) {
  if (findings == nullptr || index >= findings->list.size()) return nullptr;
  return &findings->list[index];
}

}  // namespace

namespace postern::capi {

postern_status AddMacros(const char* const* macros, size_t count, server::ServerOptions* into,
                         postern_error** out_error) {
  for (size_t i = 0; i < count; ++i) {
    const std::string_view text = CString(macros[i]);
    const size_t mark = text.find('=');
    if (mark == std::string_view::npos || mark == 0) {
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument",
                  StrCat("macro \"", Escape(text, 80), "\": name=value is wanted"));
    }
    into->macros.emplace_back(text.substr(0, mark), text.substr(mark + 1));
  }
  return POSTERN_OK;
}

postern_status ReadConfigOptions(const postern_config_options* given,
                                 postern_config_options* options, server::ServerOptions* into,
                                 postern_error** out_error) {
  if (!TakeStruct(options, postern_config_options POSTERN_CONFIG_OPTIONS_INIT, given)) {
    return Fail(out_error, POSTERN_ERR_VERSION, "version",
                "postern_config_options has an option that this library does not know");
  }
  if ((options->config_text == nullptr) == (options->config_path == nullptr)) {
    return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument",
                "give exactly one of config_text and config_path");
  }
  if (options->config_text != nullptr) {
    into->config_text = std::string(options->config_text, options->config_text_len);
    into->in_memory = true;
  } else {
    into->config_path = options->config_path;
  }
  if (options->spool_path != nullptr) into->spool_path = options->spool_path;
  return AddMacros(options->macros, options->macro_count, into, out_error);
}

std::unique_ptr<postern_findings> MakeFindings(policy::Diagnostics diagnostics) {
  auto made = std::make_unique<postern_findings>();
  made->list = std::move(diagnostics);
  made->json = JsonOf(made->list);
  return made;
}

}  // namespace postern::capi

extern "C" {

postern_status postern_config_check(postern_findings** out, const postern_config_options* given,
                                    postern_error** out_error) {
  *out = nullptr;
  return Guard(out_error, [&]() -> postern_status {
    postern_config_options options;
    server::ServerOptions server_options;
    const postern_status read =
        postern::capi::ReadConfigOptions(given, &options, &server_options, out_error);
    if (read != POSTERN_OK) return read;
    rt::AsioWorldOptions world_options;
    world_options.no_threads = true;
    rt::AsioWorld world(world_options);
    server_options.account = server::ServerAccount(world);
    if (options.config_path != nullptr) {
      const postern::StatusOr<rt::FileInfo> present = world.files().Stat(options.config_path);
      if (!present.ok() && present.status().code() == postern::StatusCode::kNotFound)
        return postern::capi::FailWith(out_error, present.status());
    }
    server::ConfigCheckOptions check;
    for (size_t i = 0; i < options.ignore_count; ++i)
      check.ignore.emplace_back(postern::capi::CString(options.ignore[i]));
    Diagnostics found = postern::capi::RunTask<Diagnostics>(
        world, [&](rt::World* on) { return server::CheckConfig(on, &server_options, check); });
    *out = postern::capi::MakeFindings(std::move(found)).release();
    return POSTERN_OK;
  });
}

size_t postern_findings_count(const postern_findings* findings) {
  return findings == nullptr ? 0 : findings->list.size();
}

size_t postern_findings_count_of(const postern_findings* findings, int32_t severity) {
  size_t count = 0;
  for (size_t i = 0; i < postern_findings_count(findings); ++i)
    count += SeverityOf(findings->list[i]) == severity ? 1 : 0;
  return count;
}

int32_t postern_findings_severity(const postern_findings* findings, size_t index) {
  const Diagnostic* found = At(findings, index);
  return found == nullptr ? -1 : SeverityOf(*found);
}

const char* postern_findings_file(const postern_findings* findings, size_t index) {
  const Diagnostic* found = At(findings, index);
  return found == nullptr ? "" : found->location.file.c_str();
}

int32_t postern_findings_line(const postern_findings* findings, size_t index) {
  const Diagnostic* found = At(findings, index);
  return found == nullptr ? 0 : found->location.line;
}

int32_t postern_findings_column(const postern_findings* findings, size_t index) {
  const Diagnostic* found = At(findings, index);
  return found == nullptr || found->location.line == 0 ? 0 : found->location.column;
}

const char* postern_findings_message(const postern_findings* findings, size_t index) {
  const Diagnostic* found = At(findings, index);
  return found == nullptr ? "" : found->message.c_str();
}

const char* postern_findings_code(const postern_findings* findings, size_t index) {
  const Diagnostic* found = At(findings, index);
  return found == nullptr ? "" : found->code.c_str();
}

const char* postern_findings_edit(const postern_findings* findings, size_t index) {
  const Diagnostic* found = At(findings, index);
  return found == nullptr ? "" : found->edit.c_str();
}

const char* postern_findings_json(const postern_findings* findings) {
  return findings == nullptr ? "" : findings->json.c_str();
}

void postern_findings_free(postern_findings* findings) { delete findings; }

postern_status postern_config_upgrade(postern_upgrade** out, const char* name, const char* text,
                                      size_t len, postern_error** out_error) {
  *out = nullptr;
  return Guard(out_error, [&]() -> postern_status {
    auto made = std::make_unique<postern_upgrade>();
    made->upgrade = postern::policy::UpgradeConfig(
        std::string(postern::capi::CString(name)),
        text == nullptr ? std::string_view() : std::string_view(text, len));
    made->findings = postern::capi::MakeFindings(made->upgrade.diagnostics);
    *out = made.release();
    return POSTERN_OK;
  });
}

const char* postern_upgrade_diff(const postern_upgrade* upgrade) {
  return upgrade == nullptr ? "" : upgrade->upgrade.diff.c_str();
}

const char* postern_upgrade_text(const postern_upgrade* upgrade, size_t* len) {
  if (len != nullptr) *len = upgrade == nullptr ? 0 : upgrade->upgrade.text.size();
  return upgrade == nullptr ? "" : upgrade->upgrade.text.c_str();
}

const postern_findings* postern_upgrade_findings(const postern_upgrade* upgrade) {
  return upgrade == nullptr ? nullptr : upgrade->findings.get();
}

void postern_upgrade_free(postern_upgrade* upgrade) { delete upgrade; }

}  // extern "C"
