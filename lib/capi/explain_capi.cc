#include <string>

#include "lib/capi/config_capi.h"
#include "lib/capi/error_capi.h"
#include "lib/capi/struct_capi.h"
#include "lib/core/base/strings.h"
#include "lib/server/explain.h"
#include "lib/server/privileges.h"

struct postern_explanation {
  bool accepted = false;
  std::string text;
  std::string json;
};

namespace {

using postern::StrCat;
using postern::capi::CString;
using postern::capi::Fail;
using postern::capi::Guard;
using postern::capi::TakeStruct;
namespace rt = postern::rt;
namespace server = postern::server;

// ReadQuestion takes what the caller asks; or fails.
postern_status ReadQuestion(const postern_explain_options& given, server::ExplainQuestion* out,
                            postern_error** out_error) {
  const auto fail = [&](std::string message) {
    return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", std::move(message));
  };
  if (given.recipient_count == 0 || given.recipients == nullptr)
    return fail("a question needs a recipient");
  for (size_t i = 0; i < given.recipient_count; ++i)
    out->recipients.emplace_back(CString(given.recipients[i]));
  out->sender = CString(given.sender);
  if (given.client_ip != nullptr) {
    out->client = postern::IpAddress::Parse(given.client_ip);
    if (!out->client)
      return fail(StrCat("'", postern::Escape(given.client_ip, 80), "' is not an IP address"));
  }
  if (given.reverse_name != nullptr) out->reverse_name = given.reverse_name;
  if (given.helo != nullptr) out->helo = given.helo;
  out->login = CString(given.login);
  out->tls = given.tls != 0;
  out->listener_line = given.listener_line;
  out->port = given.port;
  out->tag = CString(given.tag);
  out->ask_filters = given.ask_filters != 0;
  if (given.message != nullptr) out->message = std::string(given.message, given.message_len);
  for (const std::string* text : {&out->sender, &out->helo, &out->login}) {
    if (text->find_first_of("\r\n") != std::string::npos) return fail("a line end in the question");
  }
  for (const std::string& text : out->recipients) {
    if (text.find_first_of("\r\n") != std::string::npos) return fail("a line end in a recipient");
  }
  return POSTERN_OK;
}

}  // namespace

extern "C" {

postern_status postern_config_explain(postern_explanation** out,
                                      const postern_config_options* given_config,
                                      const postern_explain_options* given,
                                      postern_error** out_error) {
  *out = nullptr;
  return Guard(out_error, [&]() -> postern_status {
    postern_config_options config;
    postern_explain_options options;
    server::ServerOptions server_options;
    server::ExplainQuestion question;
    if (!TakeStruct(&options, postern_explain_options POSTERN_EXPLAIN_OPTIONS_INIT, given)) {
      return Fail(out_error, POSTERN_ERR_VERSION, "version",
                  "postern_explain_options has an option that this library does not know");
    }
    postern_status read =
        postern::capi::ReadConfigOptions(given_config, &config, &server_options, out_error);
    if (read == POSTERN_OK) read = ReadQuestion(options, &question, out_error);
    if (read != POSTERN_OK) return read;
    rt::AsioWorldOptions world_options;
    world_options.no_threads = true;
    rt::AsioWorld world(world_options);
    server_options.account = server::ServerAccount(world);
    const auto explanation = postern::capi::RunTask<server::Explanation>(
        world, [&](rt::World* on) { return server::Explain(on, &server_options, question); });
    auto made = std::make_unique<postern_explanation>();
    made->accepted = explanation.accepted;
    made->text = server::ExplanationText(explanation, question);
    made->json = server::ExplanationJson(explanation, question);
    *out = made.release();
    return POSTERN_OK;
  });
}

int32_t postern_explanation_accepted(const postern_explanation* explanation) {
  return explanation != nullptr && explanation->accepted ? 1 : 0;
}

const char* postern_explanation_text(const postern_explanation* explanation) {
  return explanation == nullptr ? "" : explanation->text.c_str();
}

const char* postern_explanation_json(const postern_explanation* explanation) {
  return explanation == nullptr ? "" : explanation->json.c_str();
}

void postern_explanation_free(postern_explanation* explanation) { delete explanation; }

}  // extern "C"
