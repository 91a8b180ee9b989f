// A server is made from its options.
#include <cstring>
#include <utility>

#include "lib/capi/config_capi.h"
#include "lib/capi/server_capi.h"
#include "lib/capi/server_helper.h"
#include "lib/capi/server_hooks.h"
#include "lib/capi/server_log_capi.h"
#include "lib/capi/server_mistakes.h"
#include "lib/core/base/strings.h"
#include "lib/server/runtime.h"

namespace {

using postern::StatusCode;
using postern::StrCat;
using postern::capi::Fail;
using postern::capi::FailWith;
using postern::capi::Guard;
using postern::capi::OnFree;
using postern::capi::TakeStruct;
namespace rt = postern::rt;
namespace server = postern::server;

// More loops than a machine has processors are of no use.
constexpr int kMaxWorkers = 256;

// AskQueueKey lets the host bring the key that the configuration leaves to it.
postern_status AskQueueKey(const postern_server_options& options,
                           const postern::policy::Config& config, std::string* key,
                           postern_error** out_error) {
  const std::string where = config.queue.encryption_location.ToString();
  if (options.queue_key == nullptr) {
    return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "config",
                where + ": queue encryption: the key is not in the file, and nobody can be asked");
  }
  char text[256] = {};
  const bool from_stdin = config.queue.encryption == postern::policy::QueueEncryption::kStdin;
  const postern_status status =
      options.queue_key(from_stdin ? 1 : 0, text, sizeof text, options.queue_key_data);
  text[sizeof text - 1] = '\0';
  *key = text;
  if (status != POSTERN_OK)
    return Fail(out_error, status, "config", where + ": queue encryption: no key was given");
  if (key->size() == postern::policy::kQueueKeyOctets) return POSTERN_OK;
  return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "config",
              where + ": queue encryption: the key that was given has " +
                  std::to_string(key->size()) + " characters instead of 32");
}

postern_status NewServer(postern_server** out, const postern_server_options* given,
                         postern_error** out_error) {
  if (out == nullptr)
    return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "out is NULL");
  *out = nullptr;
  auto handle = std::make_unique<postern_server>();
  postern_server_options defaults = POSTERN_SERVER_OPTIONS_INIT;
  postern_server_options options;
  const bool known = TakeStruct(&options, defaults, given);
  postern_log_callbacks log = POSTERN_LOG_CALLBACKS_INIT;
  postern_message_callbacks message = POSTERN_MESSAGE_CALLBACKS_INIT;
  const bool log_known =
      TakeStruct(&log, postern_log_callbacks POSTERN_LOG_CALLBACKS_INIT, options.log);
  const bool message_known = TakeStruct(
      &message, postern_message_callbacks POSTERN_MESSAGE_CALLBACKS_INIT, options.message);
  postern_filter_callbacks filter = POSTERN_FILTER_CALLBACKS_INIT;
  const bool filter_known =
      TakeStruct(&filter, postern_filter_callbacks POSTERN_FILTER_CALLBACKS_INIT, options.filter);
  postern_login_callbacks login = POSTERN_LOGIN_CALLBACKS_INIT;
  const bool login_known =
      TakeStruct(&login, postern_login_callbacks POSTERN_LOGIN_CALLBACKS_INIT, options.login);
  // From here on the user data is ours to free, whatever happens.
  handle->free_log_data = OnFree(log.destroy_user_data, log.user_data);
  handle->free_message_data = OnFree(message.destroy_user_data, message.user_data);
  handle->free_filter_data = OnFree(filter.destroy_user_data, filter.user_data);
  handle->free_login_data = OnFree(login.destroy_user_data, login.user_data);
  if (!known || !log_known || !message_known || !filter_known || !login_known) {
    return Fail(out_error, POSTERN_ERR_VERSION, "version",
                "an option struct has a size of 0, or sets a field that this version of the "
                "library does not know");
  }
  if ((options.config_text == nullptr) == (options.config_path == nullptr)) {
    return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument",
                "give exactly one of config_text and config_path");
  }

  if (options.workers > kMaxWorkers || (options.workers > 1 && options.no_threads != 0)) {
    return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument",
                options.workers > kMaxWorkers ? StrCat("workers: at most ", kMaxWorkers)
                                              : "workers: a server without threads has one");
  }

  server::ServerOptions server_options;
  if (options.config_text != nullptr) {
    server_options.config_text = std::string(options.config_text, options.config_text_len);
  } else {
    server_options.config_path = options.config_path;
  }
  if (options.spool_path != nullptr) server_options.spool_path = options.spool_path;
  const postern_status macros =
      postern::capi::AddMacros(options.macros, options.macro_count, &server_options, out_error);
  if (macros != POSTERN_OK) return macros;
  server_options.in_memory = options.in_memory != 0;
  server_options.control = options.no_control == 0;
  if (options.log_level > POSTERN_LOG_DEBUG && options.log_level <= POSTERN_LOG_ERROR)
    server_options.log_level = static_cast<postern::LogLevel>(options.log_level);
  handle->message = message;
  handle->filter = filter;
  handle->login = login;
  postern::capi::SetHooks(handle.get(), &server_options.hooks);
  rt::AsioWorldOptions world_options;
  world_options.no_threads = options.no_threads != 0;
  if (options.pool_threads != 0) world_options.pool_threads = options.pool_threads;
  if (options.workers != 0) world_options.workers = options.workers;
  handle->world = std::make_unique<rt::AsioWorld>(world_options);
  const postern_status logged =
      postern::capi::MakeLog(handle.get(), log, options.log_output, out_error);
  if (logged != POSTERN_OK) return logged;
  const postern_status helped =
      postern::capi::StartHelperFor(handle.get(), options.run_as, &server_options, out_error);
  if (helped != POSTERN_OK) return helped;
  rt::World& world =
      handle->helped != nullptr ? static_cast<rt::World&>(*handle->helped) : *handle->world;

  if (options.config_path != nullptr) {
    const postern::StatusOr<rt::FileInfo> present =
        handle->world->files().Stat(options.config_path);
    if (!present.ok() && present.status().code() == StatusCode::kNotFound) {
      const postern::policy::SourceLocation file{options.config_path, 0, 0};
      return FailWith(
          out_error,
          postern::NotFound(
              postern::policy::MakeError(file, "cannot be read: No such file").ToString()));
    }
  }
  server::LoadedConfig config = server::LoadConfig(world, server_options, handle->log.get());
  if (config.runtime == nullptr) {
    return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "config",
                postern::capi::AllErrors(config.diagnostics));
  }
  postern::capi::LogWarnings(handle->log.get(), config.diagnostics);
  const postern::policy::Config& meaning = config.runtime->config();
  if (meaning.queue.encryption == postern::policy::QueueEncryption::kPrompt ||
      meaning.queue.encryption == postern::policy::QueueEncryption::kStdin) {
    const postern_status asked =
        AskQueueKey(options, meaning, &server_options.queue_key, out_error);
    if (asked != POSTERN_OK) return asked;
  }
  postern::capi::ArrangePrivileges(handle.get(), *config.runtime, &server_options);
  handle->server = server::Server::Create(&world, std::move(server_options), std::move(config),
                                          handle->log.get());
  *out = handle.release();
  return POSTERN_OK;
}

}  // namespace

extern "C" {

void postern_server_options_init(postern_server_options* options, size_t struct_size) {
  if (options == nullptr || struct_size < sizeof(size_t)) return;
  std::memset(options, 0, struct_size);
  options->struct_size = struct_size;
}

postern_status postern_server_new(postern_server** out, const postern_server_options* options,
                                  postern_error** out_error) {
  return Guard(out_error, [&] { return NewServer(out, options, out_error); });
}

}  // extern "C"
