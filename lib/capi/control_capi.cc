#include "postern/control.h"
#include <memory>
#include <optional>
#include <string>

#include "lib/capi/config_capi.h"
#include "lib/capi/error_capi.h"
#include "lib/capi/resolver_capi.h"
#include "lib/capi/struct_capi.h"
#include "lib/core/base/strings.h"
#include "lib/core/policy/new_password.h"
#include "lib/core/policy/parse.h"
#include "lib/core/trust/spf_walk.h"
#include "lib/rt/asio/asio_world.h"
#include "lib/server/control_gate.h"
#include "lib/server/offline_queue.h"
#include "lib/server/spool_folder.h"
#include "lib/service/control/client.h"
#include "lib/store/table/source_loader.h"

namespace {

using postern::Status;
using postern::StatusCode;
using postern::StatusOr;
using postern::StrCat;
using postern::capi::CString;
using postern::capi::Fail;
using postern::capi::FailWith;
using postern::capi::Give;
using postern::capi::Guard;
using postern::capi::TakeStruct;
namespace policy = postern::policy;
namespace rt = postern::rt;

constexpr char kConfigPath[] = "/etc/mail/smtpd.conf";
constexpr size_t kSaltBytes = 16;

// Places is where a server keeps what others ask for.
struct Places {
  std::string spool;
  std::string socket;
  bool spool_is_known = true;  // false: a socket was named, and nothing of its server's else
  // What the configuration says beside; the defaults where none could be read.
  std::shared_ptr<const policy::Config> config = std::make_shared<policy::Config>();
};

// FindPlaces finds them. A configuration that has mistakes may still say it.
StatusOr<Places> FindPlaces(rt::World& world, const postern_control_options& options) {
  Places places;
  if (options.spool_path != nullptr) {
    places.spool = options.spool_path;
  } else if (options.socket_path == nullptr || options.config_path != nullptr) {
    const std::string path =
        options.config_path != nullptr ? options.config_path : std::string(kConfigPath);
    postern::store::FileSourceLoader loader(&world.files());
    const policy::ParseResult parsed = policy::Parse(path, loader);
    if (parsed.readable != nullptr) {
      places.spool = postern::server::SpoolOf(*parsed.readable);
      places.socket = parsed.readable->control_socket;
      places.config = parsed.readable;
    } else if (options.config_path != nullptr) {
      return postern::NotFound(StrCat(path, " cannot be read: it says where the server is"));
    }
  }
  if (places.spool.empty()) places.spool = postern::server::SpoolOf(policy::Config());
  if (options.socket_path != nullptr) {
    places.socket = options.socket_path;
    places.spool_is_known = options.spool_path != nullptr || options.config_path != nullptr;
  }
  if (places.socket.empty())
    places.socket = StrCat(places.spool, "/", postern::server::kControlSocketName);
  return places;
}

postern_status FailVersion(postern_error** out_error) {
  return Fail(out_error, POSTERN_ERR_VERSION, "version",
              "the options set a field that this version of the library does not know");
}

postern_status GivePlace(postern_buf* out, const postern_control_options* given, bool socket,
                         postern_error** out_error) {
  postern_control_options options;
  if (!TakeStruct(&options, postern_control_options POSTERN_CONTROL_OPTIONS_INIT, given))
    return FailVersion(out_error);
  rt::AsioWorldOptions world_options;
  world_options.no_threads = true;
  rt::AsioWorld world(world_options);
  const StatusOr<Places> places = FindPlaces(world, options);
  if (!places.ok()) return FailWith(out_error, places.status());
  Give(out, socket ? places->socket : places->spool);
  return POSTERN_OK;
}

postern_status Ask(int32_t* out_exit_status, const postern_control_options* given,
                   postern_error** out_error) {
  postern_control_options options;
  if (!TakeStruct(&options, postern_control_options POSTERN_CONTROL_OPTIONS_INIT, given))
    return FailVersion(out_error);
  rt::AsioWorldOptions world_options;
  world_options.no_threads = true;
  rt::AsioWorld world(world_options);
  const StatusOr<Places> places = FindPlaces(world, options);
  if (!places.ok()) return FailWith(out_error, places.status());
  postern::control::Request request;
  request.json = options.json != 0;
  for (size_t i = 0; i < options.word_count; ++i)
    request.words.emplace_back(CString(options.words[i]));
  std::string input;
  if (options.input != nullptr) input.assign(options.input, options.input_len);
  const auto output = [&options](bool error, std::string_view text) {
    if (options.on_output != nullptr)
      options.on_output(error ? 1 : 0, text.data(), text.size(), options.user_data);
  };
  const StatusOr<int> answer = postern::capi::RunTask<StatusOr<int>>(world, [&](rt::World* on) {
    return postern::service::AskControl(on, places->socket, request, options.has_input != 0,
                                        std::move(input), output);
  });
  if (answer.ok()) {
    *out_exit_status = *answer;
    return POSTERN_OK;
  }
  const Status& why = answer.status();
  // Nobody listens there, or nobody did so far.
  if (why.code() == StatusCode::kNotFound || why.code() == StatusCode::kUnavailable) {
    StatusOr<int> offline = postern::Unimplemented("no spool is known");
    if (places->spool_is_known)
      offline =
          postern::server::AnswerOffline(world, *places->config, places->spool, request, output);
    if (offline.ok()) {
      *out_exit_status = *offline;
      return POSTERN_OK;
    }
    if (offline.status().code() != StatusCode::kUnimplemented)
      return FailWith(out_error, offline.status());
    return Fail(out_error, POSTERN_ERR_NOT_FOUND, "not-running",
                StrCat("no server answers on ", places->socket, ": ", postern::Message(why)));
  }
  return FailWith(out_error, why);
}

}  // namespace

extern "C" {

postern_status postern_control_ask(int32_t* out_exit_status, const postern_control_options* options,
                                   postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (out_exit_status == nullptr || options == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "an argument is NULL");
    return Ask(out_exit_status, options, out_error);
  });
}

postern_status postern_control_spool(postern_buf* out, const postern_control_options* options,
                                     postern_error** out_error) {
  return Guard(out_error, [&] { return GivePlace(out, options, false, out_error); });
}

postern_status postern_control_socket(postern_buf* out, const postern_control_options* options,
                                      postern_error** out_error) {
  return Guard(out_error, [&] { return GivePlace(out, options, true, out_error); });
}

postern_status postern_password_hash(postern_buf* out, const char* password, size_t len,
                                     postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    rt::AsioWorldOptions world_options;
    world_options.no_threads = true;
    rt::AsioWorld world(world_options);
    uint8_t salt[kSaltBytes];
    world.random().Fill(salt);
    const StatusOr<std::string> hash =
        policy::HashPassword(std::string_view(password, len),
                             std::string_view(reinterpret_cast<const char*>(salt), sizeof salt));
    if (!hash.ok()) return FailWith(out_error, hash.status());
    Give(out, *hash);
    return POSTERN_OK;
  });
}

postern_status postern_spf_walk(postern_resolver* resolver, const char* domain,
                                const postern_spf_walk_callbacks* callbacks,
                                postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    postern_spf_walk_callbacks given;
    if (!TakeStruct(&given, postern_spf_walk_callbacks POSTERN_SPF_WALK_CALLBACKS_INIT, callbacks))
      return FailVersion(out_error);
    postern::trust::SpfWalk walk;
    const postern_status status = postern::capi::RunInquiry(
        resolver, postern::trust::WalkSpf(std::string(CString(domain)), {}), &walk, out_error);
    if (status != POSTERN_OK) return status;
    if (given.on_network != nullptr) {
      for (const std::string& each : walk.networks) given.on_network(each.c_str(), given.user_data);
    }
    if (given.on_remark != nullptr) {
      for (const std::string& each : walk.remarks) given.on_remark(each.c_str(), given.user_data);
    }
    return POSTERN_OK;
  });
}

}  // extern "C"
