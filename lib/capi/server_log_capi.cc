#include "lib/capi/server_log_capi.h"

#include <algorithm>

#include "lib/rt/asio/posix_log_output.h"

namespace {

using postern::capi::Fail;
using postern::capi::FailWith;
using postern::capi::Guard;
using postern::capi::TakeStruct;
namespace rt = postern::rt;
namespace server = postern::server;

class CallbackLogSink final : public postern::LogSink {
 public:
  explicit CallbackLogSink(const postern_log_callbacks& callbacks) : callbacks_(callbacks) {}
  void Write(const postern::LogRecord& record) override {
    if (callbacks_.on_log == nullptr) return;
    const std::string line = postern::FormatLogRecord(record);
    callbacks_.on_log(static_cast<int32_t>(record.level), line.c_str(), callbacks_.user_data);
  }

 private:
  postern_log_callbacks callbacks_;
};

// OpenLog makes the log that the library writes itself.
postern_status OpenLog(postern_server* handle, const postern_log_output* given,
                       postern_error** out_error) {
  postern_log_output output;
  if (!TakeStruct(&output, postern_log_output POSTERN_LOG_OUTPUT_INIT, given)) {
    return Fail(out_error, POSTERN_ERR_VERSION, "version",
                "log_output sets a field that this version does not know");
  }
  if (output.target == nullptr)
    return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "log_output has no target");
  const postern::StatusOr<server::LogTarget> target = server::ParseLogTarget(output.target);
  if (!target.ok()) return FailWith(out_error, target.status());
  const bool file = target->form == server::LogTarget::Form::kPlain;
  if (file) handle->log_path = target->path;
  const rt::LogFileOpener by_helper = [handle](const std::string& path) -> postern::StatusOr<int> {
    if (handle->helped == nullptr) return postern::Unavailable("there is no helper");
    return handle->helped->OpenLog(path);
  };
  postern::StatusOr<std::unique_ptr<rt::LogOutput>> to =
      file ? rt::OpenLogFile(target->path, by_helper) : rt::OpenLogSocket(target->path);
  if (!to.ok()) return FailWith(out_error, to.status());
  auto writer = std::make_unique<server::LogWriter>(
      handle->world.get(), target->form, output.json != 0,
      output.tag == nullptr ? "smtpd" : output.tag, *std::move(to));
  handle->log_writer = writer.get();
  handle->log = std::move(writer);
  return POSTERN_OK;
}

}  // namespace

namespace postern::capi {

postern_status MakeLog(postern_server* handle, const postern_log_callbacks& callbacks,
                       const postern_log_output* output, postern_error** out_error) {
  handle->log = std::make_unique<CallbackLogSink>(callbacks);
  return output == nullptr ? POSTERN_OK : OpenLog(handle, output, out_error);
}

}  // namespace postern::capi

extern "C" {

postern_status postern_server_reopen_log(postern_server* handle, postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (handle == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "server is NULL");
    if (handle->log_writer == nullptr) return POSTERN_OK;
    const postern::Status reopened = handle->log_writer->Reopen();
    return reopened.ok() ? POSTERN_OK : FailWith(out_error, reopened);
  });
}

void postern_server_log(postern_server* handle, int32_t level, const char* text) {
  if (handle == nullptr || text == nullptr) return;
  (void)Guard(nullptr, [&]() -> postern_status {
    postern::LogRecord record;
    record.level = static_cast<postern::LogLevel>(
        std::clamp<int32_t>(level, POSTERN_LOG_DEBUG, POSTERN_LOG_ERROR));
    record.subsystem = "server";
    record.event = text;
    handle->log->Write(record);
    return POSTERN_OK;
  });
}

}  // extern "C"
