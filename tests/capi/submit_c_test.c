/* postern_server_submit: which line ends it takes, and how it refuses others. */
#include <postern.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

static void expect(int condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "not so: %s\n", what);
  ++failures;
}

static postern_server* inside_of; /* set: the callback calls back */

static postern_status submit(postern_server* server, const char* content, size_t size,
                             postern_error** error);

static postern_status take(const postern_message* mail, postern_message_verdict* verdict,
                           void* user_data) {
  (void)mail;
  if (inside_of != NULL) {
    expect(postern_server_poll(inside_of, NULL, 0, NULL) == POSTERN_ERR_BUSY, "no poll inside");
    expect(submit(inside_of, "\r\n", 2, NULL) == POSTERN_ERR_BUSY, "no submission inside");
  }
  verdict->action = POSTERN_MESSAGE_TAKE;
  ++*(int*)user_data;
  return POSTERN_OK;
}

static postern_status submit(postern_server* server, const char* content, size_t size,
                             postern_error** error) {
  const char* recipient = "someone@example.test";
  postern_submission submission = POSTERN_SUBMISSION_INIT;
  submission.reverse_path = "program@example.test";
  submission.recipients = &recipient;
  submission.recipient_count = 1;
  submission.content = content;
  submission.content_len = size;
  return postern_server_submit(server, NULL, 0, &submission, error);
}

struct refused {
  const char* content;
  size_t size;
  const char* message;
};

int main(void) {
  static const char* const kGood[] = {"Subject: x\n\nbody\n", "Subject: x\r\n\r\nbody\r\n",
                                      "Subject: x\r\n\nbody", "\r\n"};
  static const struct refused kBad[] = {
      {"Subject: x\n\nbo\rdy\n", 18, "octet 15 is a CR without LF"},
      {"Subject: x\n\nbody\r", 17, "octet 17 is a CR without LF"},
      {"Subject: x\r\r\n\r\nbody\r\n", 21, "octet 11 is a CR without LF"},
      {"Subject: x\n\nbo\0dy\n", 18, "octet 15 is NUL"},
  };
  const char* config =
      "listen on 127.0.0.1 port 0\naction taken relay\nmatch for any action taken\n";
  postern_message_callbacks callbacks = POSTERN_MESSAGE_CALLBACKS_INIT;
  postern_server_options options = POSTERN_SERVER_OPTIONS_INIT;
  postern_server* server = NULL;
  postern_error* error = NULL;
  postern_status status;
  int taken = 0;
  size_t i;
  callbacks.on_message = take;
  callbacks.user_data = &taken;
  options.config_text = config;
  options.config_text_len = strlen(config);
  options.in_memory = 1;
  options.no_threads = 1;
  options.message = &callbacks;

  status = postern_server_new(&server, &options, &error);
  if (status == POSTERN_OK) status = postern_server_start(server, &error);
  if (status != POSTERN_OK) {
    fprintf(stderr, "%s\n", postern_error_message(error));
    return 1;
  }
  for (i = 0; i < sizeof kGood / sizeof *kGood; ++i) {
    expect(submit(server, kGood[i], strlen(kGood[i]), &error) == POSTERN_OK, kGood[i]);
    postern_error_free(error);
    error = NULL;
  }
  expect(taken == (int)(sizeof kGood / sizeof *kGood), "all good ones came to the callback");
  taken = 0;
  for (i = 0; i < sizeof kBad / sizeof *kBad; ++i) {
    expect(submit(server, kBad[i].content, kBad[i].size, &error) == POSTERN_ERR_INVALID_ARGUMENT,
           kBad[i].message);
    expect(strstr(postern_error_message(error), kBad[i].message) != NULL,
           postern_error_message(error));
    postern_error_free(error);
    error = NULL;
  }
  expect(taken == 0, "no bad one came to the callback");
  inside_of = server;
  expect(submit(server, "\r\n", 2, &error) == POSTERN_OK, "one whose callback calls back");
  inside_of = NULL;
  {
    const char* recipient = "someone@example.test";
    char id[9] = "unset";
    postern_submission submission = POSTERN_SUBMISSION_INIT;
    submission.reverse_path = "program@example.test";
    submission.recipients = &recipient;
    submission.recipient_count = 1;
    submission.content = "\r\n";
    submission.content_len = 2;
    expect(postern_server_submit(server, id, 8, &submission, NULL) == POSTERN_ERR_INVALID_ARGUMENT,
           "an id needs its room");
    expect(postern_server_submit(server, id, 9, &submission, NULL) == POSTERN_OK && strlen(id) == 8,
           "an id of 8 octets");
  }
  {
    postern_buf text = {NULL, 0};
    expect(postern_server_metrics(server, &text, NULL) == POSTERN_OK, "metrics of a server");
    expect(text.len > 6 && strcmp(text.data + text.len - 6, "# EOF\n") == 0, "OpenMetrics ends");
    expect(text.len > 0 && strstr(text.data, "postern_queue_healthy 1\n") != NULL, "a number");
    postern_buf_free(&text);
    expect(postern_server_reopen_log(server, NULL) == POSTERN_OK, "no log to open anew");
    postern_server_log(server, POSTERN_LOG_INFO, "a line\nand no other");
  }
  {
    postern_control_options asked = POSTERN_CONTROL_OPTIONS_INIT;
    const char* words[] = {"show", "queue"};
    int32_t exit_status = 0;
    postern_buf hash = {NULL, 0};
    asked.socket_path = "/nonexistent/control.sock";
    asked.words = words;
    asked.word_count = 2;
    expect(postern_control_ask(&exit_status, &asked, &error) == POSTERN_ERR_NOT_FOUND,
           "nobody answers there");
    expect(strcmp(postern_error_reason(error), "not-running") == 0, "and why");
    postern_error_free(error);
    error = NULL;
    expect(postern_password_hash(&hash, "secret", 6, NULL) == POSTERN_OK && hash.len == 60,
           "a hash");
    postern_buf_free(&hash);
    expect(postern_password_hash(&hash, "a\0b", 3, NULL) == POSTERN_ERR_INVALID_ARGUMENT,
           "no hash of a NUL");
  }
  postern_server_stop(server, 1000);
  while ((status = postern_server_poll(server, NULL, 1000, &error)) == POSTERN_OK) {
  }
  expect(status == POSTERN_DONE, "it stops");
  postern_error_free(error);
  postern_server_free(server);
  return failures == 0 ? 0 : 1;
}
