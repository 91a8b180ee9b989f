/* A server without a thread of its own: this program's loop polls it, submits a message and takes
 * it back. */
#include <postern.h>
#include <stdio.h>
#include <string.h>

static postern_status take(const postern_message* mail, postern_message_verdict* verdict,
                           void* user_data) {
  postern_str to = postern_message_recipient(mail, 0);
  if (to.len >= 7 && memcmp(to.data, "refused", 7) == 0) {
    verdict->action = POSTERN_MESSAGE_REFUSE;
    verdict->reply_code = 554;
    strcpy(verdict->reply_text, "5.7.1 not for us");
    return POSTERN_OK;
  }
  verdict->action = POSTERN_MESSAGE_TAKE;
  ++*(int*)user_data;
  return POSTERN_OK;
}

static postern_status submit(postern_server* server, const char* recipient, char* id,
                             size_t id_size, postern_error** error) {
  const char* content = "Subject: from the program itself\n\nHello\n";
  postern_submission submission = POSTERN_SUBMISSION_INIT;
  submission.reverse_path = "program@example.test";
  submission.recipients = &recipient;
  submission.recipient_count = 1;
  submission.content = content;
  submission.content_len = strlen(content);
  return postern_server_submit(server, id, id_size, &submission, error);
}

int main(void) {
  const char* config =
      "listen on 127.0.0.1 port 2526\naction taken relay\nmatch for any action taken\n";
  postern_message_callbacks callbacks = POSTERN_MESSAGE_CALLBACKS_INIT;
  postern_server_options options = POSTERN_SERVER_OPTIONS_INIT;
  postern_server* server = NULL;
  postern_error* error = NULL;
  char id[9] = "";
  int taken = 0;
  postern_status status;
  callbacks.on_message = take;
  callbacks.user_data = &taken;
  options.config_text = config;
  options.config_text_len = strlen(config);
  options.in_memory = 1;
  options.no_threads = 1;
  options.message = &callbacks;

  status = postern_server_new(&server, &options, &error);
  if (status == POSTERN_OK) status = postern_server_start(server, &error);
  if (status == POSTERN_OK) {
    printf("listening on %s\n", postern_server_endpoint(server, 0));
    status = submit(server, "someone@example.test", id, sizeof id, &error);
  }
  if (status == POSTERN_OK) {
    printf("submitted as %s, taken %d\n", id, taken);
    status = submit(server, "refused@example.test", NULL, 0, &error);
    printf("refused: %s, %s\n", postern_status_name(status), postern_error_message(error));
    postern_error_free(error);
    error = NULL;
    postern_server_stop(server, 1000);
    while ((status = postern_server_poll(server, NULL, 1000, &error)) == POSTERN_OK) {
    }
  }
  if (status < 0) fprintf(stderr, "%s\n", postern_error_message(error));
  postern_error_free(error);
  postern_server_free(server);
  return status == POSTERN_DONE && taken == 1 ? 0 : 1;
}
